"""Rate limits: shared by all processes, counted for failures too, and told with when to try again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_settings import GOOD

from app.attempts import DEFAULTS
from app.settings import Settings, SettingsError, load
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Rows, bearer
from harness.server import Server
from harness.site import PASSWORD, new_address

LOGIN = "/api/auth/login"
# Low, so that a test comes to the end of them; each test has addresses and accounts of its own.
LIMITS = "login.address=4/60, login.account=3/900"

_numbers = count(1)


def new_client() -> str:
    """An address of a client that was not counted yet."""
    number = next(_numbers)
    return f"203.0.{number // 250}.{number % 250 + 1}"


def serve(database: Database, pooler: Pooler, log: Path, limits: str, factor: str = "1") -> Server:
    """A server with `limits` in place of the defaults, all of them times `factor`."""
    url = database.url("app", pooler.host, pooler.port)
    variables = {"RATE_LIMITS": limits, "RATE_LIMIT_FACTOR": factor, "SIGN_IN_FLOOR_SECONDS": "0"}
    return Server(url, log, **variables).start()


@pytest.fixture(scope="module")
def pair(
    api_database: Database, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """Two processes, as of two workers, colours or hosts."""
    log = tmp_path_factory.mktemp("pair")
    here = serve(api_database, pooler, log / "here.log", LIMITS)
    there = serve(api_database, pooler, log / "there.log", LIMITS)
    yield here, there
    here.stop()
    there.stop()


@pytest.fixture(scope="module")
def strict(
    api_database: Database, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that takes one request of a kind from an address, times three by the factor of all limits."""
    limits = ", ".join(f"{name}=1/60" for name in DEFAULTS if name.endswith(".address"))
    log = tmp_path_factory.mktemp("strict") / "api.log"
    server = serve(api_database, pooler, log, limits, factor="3")
    yield server
    server.stop()


def attempt(server: Server, email: str | None = None, address: str | None = None) -> httpx.Response:
    """A login that fails; of an account and an address that were not counted yet unless told otherwise."""
    return httpx.post(
        server.url + LOGIN,
        json={"email": email or new_address(), "password": "wrong"},
        # A server believes the proxy on its own host, and nobody else.
        headers={"X-Forwarded-For": address or new_client()},
        timeout=60,
    )


def test_two_processes_share_a_limit(pair: tuple[Server, Server]) -> None:
    client = new_client()
    answers = [attempt(pair[number % 2], address=client).status_code for number in range(6)]
    assert answers == [401, 401, 401, 401, 429, 429]


def test_a_refusal_says_when_to_try_again(pair: tuple[Server, Server]) -> None:
    client = new_client()
    answer = [attempt(pair[0], address=client) for _ in range(5)][-1]
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert f"try again in {answer.headers['Retry-After']} seconds" in answer.json()["detail"]


def test_after_its_window_a_limit_begins_anew(pair: tuple[Server, Server], api_database: Database) -> None:
    client = new_client()
    first = [attempt(pair[0], address=client).status_code for _ in range(5)]
    api_database.run("UPDATE rate_limits SET window_start = window_start - interval '60 seconds'")
    second = [attempt(pair[0], address=client).status_code for _ in range(5)]
    assert first == second == [401, 401, 401, 401, 429]


def test_attempts_beyond_the_limit_do_not_prolong_it(
    pair: tuple[Server, Server], api_database: Database
) -> None:
    client = new_client()
    for _ in range(5):
        attempt(pair[0], address=client)
    windows = "SELECT window_start FROM rate_limits WHERE hits > 4 ORDER BY key"
    before = api_database.rows(windows)
    assert before
    assert attempt(pair[0], address=client).status_code == 429
    assert api_database.rows(windows) == before


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("198.51.100.1", "198.51.100.2", False),
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:198.51.100.3", "198.51.100.3", True),
        ("::ffff:198.51.100.4", "::ffff:198.51.100.5", False),
    ],
)
def test_a_limit_is_of_one_client(pair: tuple[Server, Server], first: str, second: str, shared: bool) -> None:
    assert [attempt(pair[0], address=first).status_code for _ in range(5)][-2:] == [401, 429]
    assert attempt(pair[0], address=second).status_code == (429 if shared else 401)


def test_an_account_is_limited_from_whatever_address_and_in_any_spelling(pair: tuple[Server, Server]) -> None:
    email = new_address()
    spellings = [email, email.upper(), email.lower(), email.swapcase()]
    assert [attempt(pair[0], spelling).status_code for spelling in spellings] == [401, 401, 401, 429]


def test_an_address_beyond_its_limit_does_not_use_up_an_account(pair: tuple[Server, Server]) -> None:
    client, email = new_client(), new_address()
    for _ in range(4):
        attempt(pair[0], address=client)
    assert [attempt(pair[0], email, client).status_code for _ in range(5)] == [429] * 5
    assert attempt(pair[0], email).status_code == 401


def test_who_has_the_password_does_not_use_up_their_account(pair: tuple[Server, Server]) -> None:
    body = {"email": new_address(), "password": PASSWORD}
    person = {**body, "role": "candidate", "first_name": "Ada", "last_name": "Byron"}
    url, client = pair[0].url, {"X-Forwarded-For": new_client()}
    made = httpx.post(f"{url}/api/auth/register", json=person, headers=client, timeout=60)
    assert made.status_code == 202
    answers = [
        httpx.post(url + LOGIN, json=body, headers={"X-Forwarded-For": new_client()}, timeout=60)
        for _ in range(5)
    ]
    assert [answer.status_code for answer in answers] == [200] * 5


def test_of_many_at_once_exactly_as_many_as_allowed_come_through(pair: tuple[Server, Server]) -> None:
    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(timeout=60, headers={"X-Forwarded-For": new_client()}) as client:
            requests = (
                client.post(pair[number % 2].url + LOGIN, json={"email": new_address(), "password": "wrong"})
                for number in range(40)
            )
            return [answer.status_code for answer in await asyncio.gather(*requests)]

    assert Counter(asyncio.run(all_at_once())) == {401: 4, 429: 36}


def test_the_table_tells_nobody_who_was_counted(pair: tuple[Server, Server], api_database: Database) -> None:
    client, email = "192.0.2.123", new_address()
    before = api_database.rows("SELECT count(*) FROM rate_limits")[0][0]
    attempt(pair[0], email, client)
    stored = [str(row) for row in api_database.rows("SELECT * FROM rate_limits")]
    assert len(stored) == before + 2
    assert not [row for row in stored if email.lower() in row.lower() or client in row]


BODIES: dict[str, Any] = {
    "/api/auth/register": {
        "email": "ada@example.com",
        "password": PASSWORD,
        "role": "candidate",
        "first_name": "Ada",
        "last_name": "Byron",
    },
    LOGIN: {"email": "ada@example.com", "password": "wrong"},
    "/api/auth/refresh": {"refresh_token": "garbage"},
    "/api/auth/logout": {"refresh_token": "garbage"},
    "/api/auth/logout-everywhere": None,
    "/api/auth/password-reset/request": {"email": "limited@example.com"},
    "/api/auth/password-reset/confirm": {"token": "garbage", "password": PASSWORD},
    "/api/auth/verify-email/request": None,
    "/api/auth/verify-email/confirm": {"token": "garbage"},
}


def test_every_way_to_sign_in_is_in_the_test_of_limits(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    posts = {path for path, methods in paths.items() if path.startswith("/api/auth/") and "post" in methods}
    assert posts == set(BODIES)
    assert all("429" in paths[path]["post"]["responses"] for path in posts)


@pytest.mark.parametrize("path", BODIES)
def test_every_way_to_sign_in_is_limited_by_as_much_as_is_set(strict: Server, rows: Rows, path: str) -> None:
    headers = bearer(rows.user("candidate")) | {"X-Forwarded-For": new_client()}
    answers = [
        httpx.post(strict.url + path, json=BODIES[path], headers=headers, timeout=60).status_code
        for _ in range(4)
    ]
    assert 429 not in answers[:3]
    assert answers[3] == 429


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RATE_LIMITS", "login.address=10", "write ACTION.address=HITS/SECONDS"),
        (
            "RATE_LIMITS",
            "logins.address=10/60",
            "has no limit named 'logins.address'; there are",
        ),
        ("RATE_LIMITS", "login.address=0/60", "1 to 1000000 hits in 1 to 86400 seconds are possible"),
        ("RATE_LIMITS", "login.address=10/86401", "1 to 1000000 hits"),
        ("RATE_LIMIT_FACTOR", "0", "greater than or equal to 0.1"),
    ],
)
def test_a_wrong_limit_is_explained(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    for name, good in {**GOOD, variable: value}.items():
        monkeypatch.setenv(name, good)
    with pytest.raises(SettingsError) as error:
        load(Settings)
    assert said in str(error.value)


def test_a_limit_that_is_given_takes_the_place_of_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, good in {**GOOD, "RATE_LIMITS": " login.address=7/8 ,"}.items():
        monkeypatch.setenv(name, good)
    assert load(Settings).rate_limits == {**DEFAULTS, "login.address": (7, 8)}
