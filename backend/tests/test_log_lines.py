"""A line of the log: what it has of a record, and of an error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from app.logs import JsonFormatter, trace
from harness.cluster import Database
from harness.rows import Rows

SECRET = "s3cr3t-marker"


@pytest.fixture
def formatted() -> Callable[..., dict[str, Any]]:
    """Returns a function that makes a line of a record."""

    def made(message: str, *words: object, **given: Any) -> dict[str, Any]:
        record = logging.LogRecord("a.logger", logging.WARNING, "file.py", 1, message, words, None)
        if "fields" in given:
            record.fields = given["fields"]
        line = JsonFormatter().format(record)
        assert "\n" not in line
        return dict(json.loads(line))

    return made


def test_a_message_of_several_lines_stays_one_line(formatted: Callable[..., dict[str, Any]]) -> None:
    assert formatted('one\ntwo "%s"', "\x1b[31m")["message"] == 'one\ntwo "\x1b[31m"'


def test_fields_are_told_by_their_names(formatted: Callable[..., dict[str, Any]]) -> None:
    line = formatted("request", fields={"route": "/jobs", "path": Path("/x")})
    assert (line["route"], line["path"]) == ("/jobs", "/x")


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The error as it is when somebody raised it, from `cause`."""
    try:
        raise error from cause
    except type(error):
        found = sys.exc_info()[1]
        assert found is not None
        return found


def test_a_traceback_names_types_and_lines_and_no_message() -> None:
    told = trace(raised(KeyError(SECRET), raised(ValueError(SECRET))))
    assert told.index("builtins.ValueError") < told.index("builtins.KeyError")
    assert "test_log_lines.py" in told
    assert SECRET not in told


def test_a_traceback_of_a_group_has_each_of_its_errors() -> None:
    told = trace(raised(ExceptionGroup(SECRET, [raised(KeyError(SECRET)), raised(OSError(SECRET))])))
    assert {"builtins.KeyError", "builtins.OSError", "builtins.ExceptionGroup"} <= set(told.split())
    assert SECRET not in told


def test_errors_that_are_each_others_cause_are_told_once() -> None:
    one, other = KeyError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert trace(one).count("KeyError") == 1


def test_a_database_error_is_told_by_code_and_constraint(database: Database) -> None:
    with database.connect("app") as connection:
        Rows(connection).user("admin", email=f"{SECRET}@example.com")
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            Rows(connection).user("admin", email=f"{SECRET}@example.com")
    assert SECRET in str(caught.value)
    told = trace(raised(IntegrityError("INSERT …", {"email": SECRET}, caught.value), caught.value))
    assert "sqlstate=23505" in told
    assert "table=users" in told
    assert "statement=INSERT …" in told
    assert SECRET not in told
