"""What changes between a route's look and its write is answered with 409, not as an error of the service."""

from __future__ import annotations

import httpx

from harness.cluster import Database
from harness.rows import Rows
from harness.threads import at_once
from harness.wait import until

WAITING = (
    "SELECT 1 FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = %s AND wait_event_type = 'Lock'"
)


def test_a_candidate_who_is_purged_while_they_add_to_their_profile_gets_409(
    api: httpx.Client, api_database: Database, rows: Rows
) -> None:
    candidate = rows.candidate()
    skill = {"name": "SQL", "level": 3, "category": "technical"}
    with api_database.connect() as purging:
        purging.execute("BEGIN")
        purging.execute("DELETE FROM users WHERE id = %s", (candidate.user_id,))
        adding = at_once(lambda: api.post("/api/profile/skills", json=skill, headers=candidate.headers))
        app = api_database.cluster.role("app")
        until(lambda: api_database.rows(WAITING, app), "the new row waits for the purge")
        purging.execute("COMMIT")
        (answer,) = adding()
    assert answer.status_code == 409
    assert "at the same time" in answer.json()["detail"]
