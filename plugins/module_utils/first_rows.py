"""The first rows of a database: whether they are due, and what a run of their command left that did not end.

The one is said by a file on the host: empty while nothing was begun, and from just before the command starts with its
release, the time, and what each table had. It goes when the command has ended with 0. The other is said by the tables:
a command that was killed may have committed all, a part or nothing, and its exit status does not tell which.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible.module_utils.schema_state import Content, Rows, contents, differences


@dataclass(frozen=True)
class Begun:
    """A run of the command that is not known to have ended: with which release, when, and the rows before it."""

    release: str
    at: str
    before: dict[str, Content]


def read(path: Path) -> Begun | None:
    """What was begun; None where the rows are due and nothing was begun.

    Raises:
        ValueError: it is not what `write` wrote.
    """
    text = path.read_text()
    if not text:
        return None
    try:
        found = json.loads(text)
        before = {
            table: Content(tuple(was["columns"]), was["rows"], was["checksum"])
            for table, was in found["before"].items()
        }
        return Begun(found["release"], found["at"], before)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} does not say what the command of the first rows began with ({error!r}). If the first rows are in "
            f"the database, remove it; if no table has any, empty it (: > {path}). Then run site.yml again."
        ) from error


def write(path: Path, begun: Begun | None) -> None:
    """Write down that the rows are due (None), or that their command begins. It is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("w") as file:
        file.write(json.dumps(asdict(begun), indent=2) if begun else "")
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def rows_now(rows: Rows, version_table: str) -> dict[str, Content]:
    """What each table has that the role may read, but for Alembic's own."""
    with one_snapshot(rows):
        found: dict[str, Content] = contents(rows, besides=version_table)[0]
    return found


def left_by(rows: Rows, begun: Begun) -> dict[str, str]:
    """By table, in words, what is not as it was before the command began; nothing where it committed nothing."""
    with one_snapshot(rows):
        left: dict[str, str] = differences(rows, begun.before)
    return left


@contextmanager
def one_snapshot(rows: Rows) -> Iterator[None]:
    """All that is read is of one moment. Its end takes settings back, which a pool would hand to its next client."""
    rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        rows("ROLLBACK")
