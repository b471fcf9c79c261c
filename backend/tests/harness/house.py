"""The command housekeeping, and rows for it to deal with."""

from __future__ import annotations

import json
from typing import Any

from harness.cluster import Database
from harness.commands import command
from harness.rows import Rows

NOTIFICATION = {"type": "system", "title": "Hello", "message": "Welcome"}
READ_LONG_AGO = """
UPDATE notifications SET is_read = true, read_at = now() - interval '91 days',
    created_at = now() - interval '92 days' WHERE id = ANY(%s)
"""


def house(database: Database, *tasks: str, url: str = "") -> dict[str, Any]:
    """Do tasks that must succeed; what the command printed."""
    done = command(database, "housekeeping", *tasks, url=url)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def expired_sessions(database: Database, count: int) -> None:
    with database.connect("app") as connection:
        user = Rows(connection).user("candidate")
        connection.execute(
            "INSERT INTO sessions (user_id, session_token, expires)"
            " SELECT %s, n::text, now() - interval '1 hour' FROM generate_series(1, %s) n",
            (user, count),
        )


def notifications(database: Database, count: int) -> list[int]:
    with database.connect("app") as connection:
        rows = Rows(connection)
        user = rows.user("candidate")
        return [rows.insert("notifications", user_id=user, **NOTIFICATION) for _ in range(count)]
