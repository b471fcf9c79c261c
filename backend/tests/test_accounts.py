"""Linked accounts: tokens go in sealed and never come out, and an account has one user."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import httpx
import pytest

from app.accounts import link_account
from app.sealing import Sealer, key_id, open_tokens
from harness.cluster import Database
from harness.race import two_sessions, waits_for_a_lock
from harness.rows import Rows
from harness.site import TOKEN_KEYS, Site

ACCOUNTS = "/api/me/accounts"
TOKENS = {"access_token": "ya29.access", "refresh_token": "1//refresh", "id_token": "eyJ.id"}

_numbers = count(1)


def account_id() -> str:
    """An account at the provider that nobody has linked."""
    return f"account-{next(_numbers)}"


def put(
    site: Site, headers: dict[str, str], account: str, provider: str = "google", **values: Any
) -> httpx.Response:
    body = {"provider_account_id": account, **TOKENS, **values}
    return site.client.put(f"{ACCOUNTS}/{provider}", json=body, headers=headers)


def stored(database: Database, account: str) -> list[dict[str, Any]]:
    rows = database.rows(
        "SELECT user_id, access_token, refresh_token, id_token, expires_at FROM accounts"
        " WHERE provider_account_id = %s ORDER BY id",
        account,
    )
    names = ("user_id", "access_token", "refresh_token", "id_token", "expires_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_tokens_are_stored_sealed_and_can_be_opened_again(
    site: Site, rows: Rows, api_database: Database
) -> None:
    person, account = rows.candidate(), account_id()
    answer = put(site, person.headers, account, expires_at=1_790_000_000, scope="openid email")
    assert answer.status_code == 200, answer.text
    [row] = stored(api_database, account)
    assert (row["user_id"], row["expires_at"]) == (person.user_id, 1_790_000_000)
    assert row["access_token"].startswith(f"sealed:{key_id(TOKEN_KEYS[0])}:")
    assert open_tokens(Sealer(TOKEN_KEYS), row) == TOKENS


def test_no_answer_has_a_token_in_it(site: Site, rows: Rows) -> None:
    person = rows.candidate()
    answers = [
        put(site, person.headers, account_id()),
        site.client.get(ACCOUNTS, headers=person.headers),
        site.client.get("/api/me/export", headers=person.headers),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    for answer in answers:
        assert "sealed:" not in answer.text
        assert not [token for token in TOKENS.values() if token in answer.text]


def test_my_accounts_are_mine(site: Site, rows: Rows) -> None:
    me, other = rows.candidate(), rows.employer()
    mine = account_id()
    put(site, me.headers, mine, "linkedin", refresh_token=None)
    put(site, other.headers, account_id())
    [shown] = site.client.get(ACCOUNTS, headers=me.headers).json()
    assert (shown["provider"], shown["provider_account_id"]) == ("linkedin", mine)
    assert (shown["has_access_token"], shown["has_refresh_token"]) == (True, False)


def test_linking_again_takes_the_new_tokens(site: Site, rows: Rows, api_database: Database) -> None:
    person, account = rows.candidate(), account_id()
    put(site, person.headers, account, scope="openid")
    put(site, person.headers, account, access_token="ya29.newer", refresh_token=None)
    [row] = stored(api_database, account)
    assert open_tokens(Sealer(TOKEN_KEYS), row) == {
        "access_token": "ya29.newer",
        "refresh_token": None,
        "id_token": "eyJ.id",
    }


def test_another_account_at_the_provider_takes_the_place_of_the_first(
    site: Site, rows: Rows, api_database: Database
) -> None:
    person, first, second, elsewhere = rows.candidate(), account_id(), account_id(), account_id()
    put(site, person.headers, elsewhere, "linkedin")
    put(site, person.headers, first)
    put(site, person.headers, second)
    assert stored(api_database, first) == []
    assert len(stored(api_database, second)) == len(stored(api_database, elsewhere)) == 1


def test_an_account_that_another_user_has_linked_is_a_conflict(
    site: Site, rows: Rows, api_database: Database
) -> None:
    account, owner = account_id(), rows.candidate()
    put(site, owner.headers, account)
    before = stored(api_database, account)
    answer = put(site, rows.candidate().headers, account)
    assert answer.status_code == 409
    assert "Another user has linked this account at google" in answer.json()["detail"]
    assert stored(api_database, account) == before


def test_the_same_name_at_another_provider_is_another_account(site: Site, rows: Rows) -> None:
    account = account_id()
    assert put(site, rows.candidate().headers, account, "google").status_code == 200
    assert put(site, rows.candidate().headers, account, "linkedin").status_code == 200


def test_of_two_users_at_once_the_second_waits_and_is_refused(rows: Rows, api_database: Database) -> None:
    account, first, second = account_id(), rows.candidate().user_id, rows.candidate().user_id

    async def race() -> tuple[bool, bool]:
        async with two_sessions(api_database) as (one, other):
            linked = await link_account(one, first, "google", account, {})
            waiting = asyncio.create_task(link_account(other, second, "google", account, {}))
            await waits_for_a_lock(api_database)
            await one.commit()
            return linked is not None, await waiting is not None

    assert asyncio.run(race()) == (True, False)
    assert [row["user_id"] for row in stored(api_database, account)] == [first]


def test_an_account_can_be_unlinked_once(site: Site, rows: Rows, api_database: Database) -> None:
    person, account = rows.candidate(), account_id()
    put(site, person.headers, account)
    answers = [site.client.delete(f"{ACCOUNTS}/google", headers=person.headers).status_code for _ in range(2)]
    assert answers == [204, 404]
    assert stored(api_database, account) == []


def test_only_ones_own_account_is_unlinked(site: Site, rows: Rows, api_database: Database) -> None:
    account = account_id()
    put(site, rows.candidate().headers, account)
    answer = site.client.delete(f"{ACCOUNTS}/google", headers=rows.candidate().headers)
    assert answer.status_code == 404
    assert len(stored(api_database, account)) == 1


def test_without_a_key_linking_says_what_to_set(api: httpx.Client, rows: Rows) -> None:
    headers = rows.candidate().headers
    answer = api.put(f"{ACCOUNTS}/google", json={"provider_account_id": account_id()}, headers=headers)
    assert answer.status_code == 503
    assert "TOKEN_KEYS" in answer.json()["detail"]
    assert api.get(ACCOUNTS, headers=headers).json() == []


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("GOOGLE", {}),
        ("-google", {}),
        ("g" * 51, {}),
        ("google", {"provider_account_id": ""}),
        ("google", {"provider_account_id": "x" * 256}),
        ("google", {"access_token": ""}),
        ("google", {"access_token": "x" * 8001}),
        ("google", {"access_token": "a\0b"}),
        ("google", {"expires_at": 2**31}),
        ("google", {"user_id": 1}),
        ("google", {"type": "credentials"}),
    ],
)
def test_a_link_that_cannot_be_used_is_refused(
    site: Site, rows: Rows, provider: str, body: dict[str, Any]
) -> None:
    given = {"provider_account_id": account_id(), **body}
    answer = site.client.put(f"{ACCOUNTS}/{provider}", json=given, headers=rows.candidate().headers)
    assert answer.status_code == 422


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PUT", "/google"), ("DELETE", "/google")])
def test_accounts_are_for_who_is_signed_in(site: Site, method: str, path: str) -> None:
    assert site.client.request(method, ACCOUNTS + path).status_code == 401
