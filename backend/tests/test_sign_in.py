"""Logging in, staying in and logging out."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from harness.cluster import Database
from harness.passwords import by_bcrypt
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import JWT_SECRET, Server
from harness.site import PASSWORD, Site, new_address

ME = "/api/auth/me"
LOGIN = "/api/auth/login"
REFRESH = "/api/auth/refresh"


def refresh(site: Site, token: str) -> httpx.Response:
    return site.post(REFRESH, {"refresh_token": token})


def stored(database: Database, email: str) -> str:
    [(password_hash,)] = database.rows(
        "SELECT password_hash FROM users WHERE lower(email) = lower(%s)", email
    )
    return str(password_hash)


def change_user(database: Database, email: str, assignment: str) -> None:
    with database.connect() as connection:
        done = connection.execute(
            f"UPDATE users SET {assignment} WHERE lower(email) = lower(%s)",
            (email,),  # type: ignore[arg-type]
        )
        assert done.rowcount == 1


def without_request_id(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


def test_a_login_gives_a_token_for_requests(site: Site) -> None:
    email = site.newcomer(first_name="Grace", last_name="Hopper")
    me = site.client.get(ME, headers=site.headers(email))
    assert me.status_code == 200, me.text
    assert {name: me.json()[name] for name in ("email", "first_name", "last_name", "role")} == {
        "email": email,
        "first_name": "Grace",
        "last_name": "Hopper",
        "role": "candidate",
    }
    assert (me.json()["email_verified"], me.json()["employer_id"]) == (None, None)
    assert me.json()["candidate_id"] is not None


def test_an_employer_sees_their_company(site: Site, api_database: Database) -> None:
    me = site.client.get(
        ME, headers=site.headers(site.newcomer(role="employer", company_name="Atelier of Me"))
    ).json()
    assert api_database.rows("SELECT name FROM companies WHERE id = %s", me["company_id"]) == [
        ("Atelier of Me",)
    ]


@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.swapcase])
def test_capitals_of_the_address_do_not_matter(site: Site, spelling: Callable[[str], str]) -> None:
    assert site.login(spelling(site.newcomer())).status_code == 200


def test_an_access_token_is_good_for_fifteen_minutes(site: Site) -> None:
    tokens = site.tokens(site.newcomer())
    claims = jwt.decode(tokens["access_token"], JWT_SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == tokens["expires_in"] == 900
    assert tokens["token_type"] == "bearer"


def test_nothing_on_the_way_keeps_an_answer_with_tokens(site: Site) -> None:
    answer = site.login(site.newcomer())
    assert answer.headers["Cache-Control"] == "no-store"
    assert refresh(site, answer.json()["refresh_token"]).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("who", ["wrong password", "no password", "not active", "deleted", "unknown"])
def test_every_refused_login_has_the_same_answer(
    site: Site, rows: Rows, api_database: Database, who: str
) -> None:
    email = new_address()
    if who == "no password":
        rows.user("candidate", email=email)
    elif who != "unknown":
        site.register(email)
    if who == "not active":
        change_user(api_database, email, "is_active = false")
    if who == "deleted":
        change_user(api_database, email, "deleted_at = now()")
    answer = site.login(email, "not the password" if who == "wrong password" else PASSWORD)
    expected = site.login(new_address(), "anything at all")
    assert answer.status_code == expected.status_code == 401
    assert without_request_id(answer) == without_request_id(expected)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_refused_login_takes_at_least_as_long_as_is_set(
    start_server: Callable[..., Server], api_database: Database, pooler: Pooler
) -> None:
    # The one comparison with a clock that cannot fail by a slow machine.
    url = api_database.url("app", pooler.host, pooler.port)
    server = start_server(url, SIGN_IN_FLOOR_SECONDS="1.5")
    before = time.monotonic()
    answer = server.request("POST", LOGIN, json={"email": "x@y.test", "password": "x"})
    assert answer.status_code == 401
    assert time.monotonic() - before >= 1.5


def test_a_stored_bcrypt_password_logs_in_and_is_hashed_anew(
    site: Site, rows: Rows, api_database: Database
) -> None:
    email = new_address()
    rows.user("candidate", email=email, password_hash=by_bcrypt("an older password"))
    assert site.login(email, "an older password").status_code == 200
    assert stored(api_database, email).startswith("$argon2id$")
    assert site.login(email, "an older password").status_code == 200
    assert site.login(email, "another password").status_code == 401


def test_a_refused_login_leaves_a_bcrypt_hash_as_it_is(
    site: Site, rows: Rows, api_database: Database
) -> None:
    email, before = new_address(), by_bcrypt("an older password")
    rows.user("candidate", email=email, password_hash=before)
    assert site.login(email, "another password").status_code == 401
    assert stored(api_database, email) == before


def test_a_bcrypt_password_beyond_72_bytes_logs_in(site: Site, rows: Rows) -> None:
    email, password = new_address(), "é" * 100
    rows.user("candidate", email=email, password_hash=by_bcrypt(password))
    assert [site.login(email, password).status_code for _ in range(2)] == [200, 200]


def test_many_logins_at_once_with_an_outdated_hash_all_succeed(site: Site, rows: Rows) -> None:
    email = new_address()
    rows.user("candidate", email=email, password_hash=by_bcrypt("an older password"))
    answers = site.at_once(LOGIN, [{"email": email, "password": "an older password"} for _ in range(20)])
    assert Counter(answer.status_code for answer in answers) == {200: 20}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"email": "x@example.com", "password": "x" * 1000}, 401),
        ({"email": "no address at all", "password": "x"}, 401),
        ({"email": "x@example.com", "password": "x" * 1001}, 422),
        ({"email": "x@example.com", "password": ""}, 422),
        ({"email": "x\0@example.com", "password": "x"}, 422),
        ({"email": "x@example.com"}, 422),
        ({"email": "x@example.com", "password": "x", "role": "admin"}, 422),
        ([], 422),
    ],
)
def test_login_takes_any_input(site: Site, body: Any, status: int) -> None:
    assert site.post(LOGIN, body).status_code == status


def test_a_refresh_token_is_stored_as_its_hash(site: Site, api_database: Database) -> None:
    token = site.tokens(site.newcomer())["refresh_token"]
    hashed = hashlib.sha256(token.encode()).hexdigest()
    assert len(token) == 43  # 256 bits in base64
    assert api_database.rows(
        "SELECT count(*) FILTER (WHERE session_token = %s), count(*) FILTER (WHERE session_token = %s)"
        " FROM sessions",
        hashed,
        token,
    ) == [(1, 0)]


def test_a_session_ends_thirty_days_after_its_last_use(site: Site, api_database: Database) -> None:
    token = site.tokens(site.newcomer())["refresh_token"]
    hashed = hashlib.sha256(token.encode()).hexdigest()
    assert (
        api_database.rows("SELECT expires - created_at FROM sessions WHERE session_token = %s", hashed)[0][
            0
        ].days
        == 30
    )


def test_a_refresh_gives_tokens_that_work(site: Site) -> None:
    first = site.tokens(site.newcomer())
    second = refresh(site, first["refresh_token"])
    assert second.status_code == 200, second.text
    headers = {"Authorization": f"Bearer {second.json()['access_token']}"}
    assert site.client.get(ME, headers=headers).status_code == 200
    assert refresh(site, second.json()["refresh_token"]).status_code == 200


def test_a_refresh_token_is_good_once(site: Site) -> None:
    token = site.tokens(site.newcomer())["refresh_token"]
    assert refresh(site, token).status_code == 200
    again = refresh(site, token)
    assert (again.status_code, again.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_of_twenty_refreshes_at_once_with_one_token_one_wins(site: Site) -> None:
    token = site.tokens(site.newcomer())["refresh_token"]
    answers = site.at_once(REFRESH, [{"refresh_token": token} for _ in range(20)])
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 19}


@pytest.mark.parametrize("reason", ["expired", "not active", "deleted"])
def test_a_refresh_is_refused_to_who_may_not_sign_in(site: Site, api_database: Database, reason: str) -> None:
    email = site.newcomer()
    token = site.tokens(email)["refresh_token"]
    if reason == "expired":
        api_database.run(
            "UPDATE sessions SET expires = now() WHERE user_id ="
            f" (SELECT id FROM users WHERE email = '{email}')"
        )
    else:
        change_user(
            api_database, email, "is_active = false" if reason == "not active" else "deleted_at = now()"
        )
    assert refresh(site, token).status_code == 401


@pytest.mark.parametrize("token", ["garbage", "é" * 43, "x" * 200])
def test_an_unknown_refresh_token_is_refused(site: Site, token: str) -> None:
    assert refresh(site, token).status_code == 401


def test_an_access_token_does_not_refresh_nor_a_refresh_token_sign_requests(site: Site) -> None:
    tokens = site.tokens(site.newcomer())
    assert refresh(site, tokens["access_token"]).status_code == 401
    headers = {"Authorization": f"Bearer {tokens['refresh_token']}"}
    assert site.client.get(ME, headers=headers).status_code == 401


def test_a_logout_ends_its_session_and_no_other(site: Site) -> None:
    email = site.newcomer()
    here, there = site.tokens(email)["refresh_token"], site.tokens(email)["refresh_token"]
    assert site.post("/api/auth/logout", {"refresh_token": here}).status_code == 204
    assert [refresh(site, token).status_code for token in (here, there)] == [401, 200]


def test_a_logout_of_an_ended_session_is_no_error(site: Site) -> None:
    token = site.tokens(site.newcomer())["refresh_token"]
    answers = [site.post("/api/auth/logout", {"refresh_token": token}).status_code for _ in range(2)]
    assert answers == [204, 204]


def test_a_logout_everywhere_ends_all_sessions_of_this_user_alone(site: Site) -> None:
    email, other = site.newcomer(), site.tokens(site.newcomer())["refresh_token"]
    mine = [site.tokens(email) for _ in range(3)]
    answer = site.post("/api/auth/logout-everywhere", None, mine[0]["access_token"])
    assert answer.status_code == 204, answer.text
    assert [refresh(site, tokens["refresh_token"]).status_code for tokens in mine] == [401] * 3
    assert refresh(site, other).status_code == 200


def test_a_deactivated_user_is_refused_at_once(site: Site, api_database: Database) -> None:
    email = site.newcomer()
    headers = site.headers(email)
    change_user(api_database, email, "is_active = false")
    assert site.client.get(ME, headers=headers).status_code == 401


def test_only_verified_addresses_log_in_when_that_is_set(
    start_server: Callable[..., Server], site: Site, api_database: Database, pooler: Pooler
) -> None:
    email = site.newcomer()
    url = api_database.url("app", pooler.host, pooler.port)
    server = start_server(url, SIGN_IN_NEEDS_VERIFIED_EMAIL="true", SIGN_IN_FLOOR_SECONDS="0")
    body = {"email": email, "password": PASSWORD}
    assert server.request("POST", LOGIN, json=body).status_code == 401
    change_user(api_database, email, "email_verified = now()")
    assert server.request("POST", LOGIN, json=body).status_code == 200
