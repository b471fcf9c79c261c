"""People with rights of their own, and lists read to the end."""

from __future__ import annotations

from typing import Any

import httpx

from harness.cluster import Database
from harness.rows import Person, Rows, bearer
from harness.wait import until


def employer(rows: Rows, company_id: int | None = None, **rights: Any) -> Person:
    """An employer with other rights than the usual ones."""
    user = rows.user("employer")
    return Person(user, rows.insert("employers", user_id=user, company_id=company_id, **rights), bearer(user))


def admin(rows: Rows) -> Person:
    """An administrator of the service."""
    user = rows.user("admin")
    return Person(user, None, bearer(user))


def application(rows: Rows, job: int, candidate: Person, **values: Any) -> int:
    """An application; returns its id."""
    return rows.insert("job_applications", job_id=job, candidate_id=candidate.profile_id, **values)


def all_pages(
    api: httpx.Client, path: str, headers: dict[str, str] | None = None, **wanted: Any
) -> list[dict[str, Any]]:
    """The items of all pages, from the first to the one without `next_cursor`."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.get(path, params={**wanted, **cursor}, headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert page["items"], "an empty page says that there is another one"
        cursor = {"cursor": page["next_cursor"]}


def waiting_for_locks(database: Database, count: int) -> None:
    """Wait until `count` statements of this database wait for a lock."""

    def waiting() -> bool:
        ((found,),) = database.rows(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(found == count)

    until(waiting, f"{count} statements wait for a lock")
