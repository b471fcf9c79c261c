"""`set-role`: an operator makes the first administrator."""

from __future__ import annotations

import httpx
import pytest

from harness.cluster import Database
from harness.commands import command
from harness.migrations import module
from harness.pooler import Pooler
from harness.rows import Rows, bearer

ONLY_ADMINS = "/api/monitoring/connections"


def test_a_user_who_has_registered_can_be_made_an_administrator(
    api: httpx.Client, rows: Rows, api_database: Database, pooler: Pooler
) -> None:
    user = rows.user("employer", email="First.Admin@example.com")
    assert api.get(ONLY_ADMINS, headers=bearer(user)).status_code == 403
    url = api_database.url("app", pooler.host, pooler.port)
    done = command(api_database, "set-role", "--email", "first.admin@EXAMPLE.com", "admin", url=url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "was employer and is admin now" in done.stdout
    assert api.get(ONLY_ADMINS, headers=bearer(user)).status_code == 200


def test_a_role_that_needs_a_profile_gets_an_empty_one(
    api: httpx.Client, rows: Rows, api_database: Database
) -> None:
    user = rows.user("admin", email="back.to.work@example.com")
    for _ in range(2):
        assert command(api_database, "set-role", "--email", "back.to.work@example.com", "candidate")[0] == 0
    assert api.get("/api/profile", headers=bearer(user)).status_code == 200
    assert api.get(ONLY_ADMINS, headers=bearer(user)).status_code == 403


def test_a_role_that_somebody_has_already_is_said_so(rows: Rows, api_database: Database) -> None:
    rows.user("admin", email="still.admin@example.com")
    done = command(api_database, "set-role", "--email", "still.admin@example.com", "admin")
    assert (done.returncode, "nothing was changed" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("email", "why"),
    [
        ("unknown@example.com", "let them register first"),
        ("inactive@example.com", "cannot sign in"),
    ],
)
def test_nobody_is_made_an_administrator_who_could_not_be_one(
    rows: Rows, api_database: Database, email: str, why: str
) -> None:
    if email != "unknown@example.com":
        rows.user("employer", email=email, is_active=False)
    done = command(api_database, "set-role", "--email", email, "admin")
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert api_database.rows("SELECT role FROM users WHERE email = %s", email) in ([], [("employer",)])


def test_a_role_that_is_none_is_refused_with_those_that_are() -> None:
    done = module("app.cli", "set-role", "--email", "x@example.com", "root")
    assert done.returncode == 2
    assert "choose from 'candidate', 'employer', 'admin'" in done.stderr
