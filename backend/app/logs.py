"""Logs: one JSON object a line, to stderr, without what a request brought along.

A line has sentences and numbers of our own. Messages of exceptions are left out, since they quote what they
object to: an address in a duplicate key, a value that is no number.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from time import time
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

# Of the request that is being answered; None elsewhere.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

OURS = ("intowork", "app", "uvicorn")
LED_TO = "\nwhich led to:\n"
# Made once: json.dumps would make one for each line.
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON. `extra={"fields": {...}}` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        line = _line(record.created, record.levelname.lower(), record.name, record.getMessage())
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["traceback"] = trace(record.exc_info[1])
        return _encode(line)


def _line(seconds: float, level: str, logger: str, message: str) -> dict[str, Any]:
    line = {
        "time": datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "message": message,
    }
    asked = request_id.get()
    if asked is not None:
        line["request_id"] = asked
    return line


def write(level: str, logger: str, message: str, fields: dict[str, Any]) -> None:
    """The line of a record that is never made: a third of the time, for what every request writes."""
    sys.stderr.write(_encode(_line(time(), level, logger, message) | fields) + "\n")


def trace(error: BaseException) -> str:
    """Where `error` and its causes were raised, the first cause first: types without messages."""
    return LED_TO.join(reversed([*_chain(error, set())]))


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield "".join(traceback.format_tb(error.__traceback__)) + _name(error)
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _chain(part, seen)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _name(error: BaseException) -> str:
    """Its type, and of the database's errors what has no value in it: codes, names, placeholders."""
    facts: dict[str, str | None] = {}
    if isinstance(error, psycopg.Error):
        facts = {
            "sqlstate": error.sqlstate,
            "table": error.diag.table_name,
            "column": error.diag.column_name,
            "constraint": error.diag.constraint_name,
        }
    elif isinstance(error, DBAPIError):
        facts = {"statement": error.statement}
    told = [f"{name}={value}" for name, value in facts.items() if value]
    kind = type(error)
    return " ".join([f"{kind.__module__}.{kind.__qualname__}", *told])


def configure(level: str) -> None:
    """Send everything through `JsonFormatter`: ours from `level` on, of other packages only warnings.

    Others at a lower level would tell rows and parameters.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in (*OURS, "uvicorn.error", "uvicorn.asgi", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level.upper() if name in OURS else logging.NOTSET)
    # It would tell addresses and queries; app/middleware/access.py has a line of its own.
    logging.getLogger("uvicorn.access").propagate = False
    logging.captureWarnings(True)
    # Asked for each record, and in no line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def watch_loop() -> None:
    """Let this event loop report a task's forgotten error by its type; asyncio would tell the message."""

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        logging.getLogger("intowork").error(
            "in the event loop: %s", _without_error(context), exc_info=error if error is not None else False
        )

    asyncio.get_running_loop().set_exception_handler(report)


def _without_error(context: dict[str, Any]) -> str:
    """asyncio's own words, unless they quote the error."""
    message, error = str(context.get("message", "unknown")), context.get("exception")
    return type(error).__name__ if error is not None and str(error) and str(error) in message else message
