"""Who may apply: 401 without a good token, 403 for those who are no candidates."""

from __future__ import annotations

from datetime import timedelta

import httpx
import jwt
import pytest

from harness.cluster import Database
from harness.migrations import module
from harness.pooler import Pooler
from harness.rows import Rows, bearer
from harness.server import JWT_SECRET

MINE = "/api/applications/my/applications"


def test_without_a_token_one_is_asked_for(api: httpx.Client) -> None:
    answer = api.get(MINE)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "kind", ["expired", "foreign", "unsigned", "no subject", "no expiry", "no number", "garbage", "basic"]
)
def test_a_bad_token_is_refused(api: httpx.Client, rows: Rows, kind: str) -> None:
    user = rows.candidate().user_id
    sub, exp = str(user), 4_000_000_000
    unsigned = jwt.encode({"sub": sub, "exp": exp}, None, algorithm="none")
    headers = {
        "expired": bearer(user, lifetime=timedelta(seconds=-1)),
        "foreign": bearer(user, secret="another secret with more than thirty-two characters"),
        "unsigned": {"Authorization": f"Bearer {unsigned}"},
        "no subject": {"Authorization": f"Bearer {jwt.encode({'exp': exp}, JWT_SECRET)}"},
        "no expiry": {"Authorization": f"Bearer {jwt.encode({'sub': sub}, JWT_SECRET)}"},
        "no number": {"Authorization": f"Bearer {jwt.encode({'sub': 'me', 'exp': exp}, JWT_SECRET)}"},
        "garbage": {"Authorization": "Bearer garbage"},
        "basic": {"Authorization": "Basic dXNlcjpwYXNz"},
    }[kind]
    answer = api.get(MINE, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_token_of_a_user_who_is_gone_or_not_active_is_refused(api: httpx.Client, rows: Rows) -> None:
    inactive = rows.user("candidate", is_active=False)
    assert api.get(MINE, headers=bearer(inactive)).status_code == 401
    assert api.get(MINE, headers=bearer(2_000_000_000)).status_code == 401
    assert api.get(MINE, headers=bearer(10**30)).status_code == 401


def test_an_employer_may_not_apply(api: httpx.Client, rows: Rows) -> None:
    answer = api.post("/api/applications/apply", json={"job_id": rows.job()}, headers=rows.employer().headers)
    assert answer.status_code == 403
    assert "Only a candidate may do this; you are employer." in answer.text


def test_a_candidate_without_a_profile_is_told_so(api: httpx.Client, rows: Rows) -> None:
    answer = api.get(MINE, headers=bearer(rows.user("candidate")))
    assert answer.status_code == 403
    assert "no candidate profile yet" in answer.text


def test_an_operator_can_make_a_token_for_an_address(
    api: httpx.Client, rows: Rows, api_database: Database, pooler: Pooler
) -> None:
    user = rows.user("candidate", email="Operator.Test@example.com")
    rows.insert("candidates", user_id=user)
    url = api_database.url("app", pooler.host, pooler.port)
    done = module(
        "app.cli", "token", "--email", "operator.test@EXAMPLE.com", DATABASE_URL=url, JWT_SECRET=JWT_SECRET
    )
    assert done.returncode == 0, done.stderr
    assert api.get(MINE, headers={"Authorization": f"Bearer {done.stdout.strip()}"}).status_code == 200


def test_no_token_is_made_for_an_unknown_address(api_database: Database) -> None:
    done = module(
        "app.cli", "token", "--email", "x@y.test", DATABASE_URL=api_database.url("app"), JWT_SECRET=JWT_SECRET
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no user has the address 'x@y.test'" in done.stderr
