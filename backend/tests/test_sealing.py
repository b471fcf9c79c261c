"""OAuth tokens at rest: sealed, with a key that can be replaced, also before the rule that asks for it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError
from test_settings import GOOD

from app.sealing import Sealer, SealError, key_id, open_tokens, reseal
from app.settings import Settings, SettingsError, load
from harness.cluster import Database
from harness.migrations import module, upgrade
from harness.server import JWT_SECRET
from harness.site import TOKEN_KEYS

NEW, OLD = TOKEN_KEYS
UNKNOWN = Fernet.generate_key().decode()
# The last one without check_account_tokens_sealed.
BEFORE_THE_RULE = "l3g6h1i9j8k7"


def test_a_sealed_token_names_its_key_and_not_itself() -> None:
    sealed = Sealer((NEW, OLD)).seal("a very secret token")
    assert sealed.startswith(f"sealed:{key_id(NEW)}:")
    assert len(key_id(NEW)) == 8
    assert "secret" not in sealed


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_can_be_opened(token: str) -> None:
    assert Sealer((OLD, NEW)).open(Sealer((NEW,)).seal(token)) == token


def test_the_same_token_is_sealed_differently_each_time() -> None:
    sealer = Sealer((NEW,))
    assert sealer.seal("token") != sealer.seal("token")


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (Sealer((UNKNOWN,)).seal("token"), f"needs the key {key_id(UNKNOWN)}, which is not in TOKEN_KEYS"),
        (Sealer((NEW,)).seal("token")[:-6] + "AAAAA=", "was changed since"),
        (f"sealed:{key_id(NEW)}:", "was changed since"),
        (f"sealed:{key_id(NEW)}:é", "was changed since"),
        ("sealed:", "needs the key"),
        ("sealed:in-the-clear:token", "needs the key of no known name"),
        ("ya29.in-the-clear", "is stored in the clear; run python -m app.cli seal-tokens"),
        ("", "is stored in the clear"),
    ],
)
def test_what_cannot_be_opened_is_said_without_the_token(stored: str, said: str) -> None:
    with pytest.raises(SealError) as error:
        Sealer((NEW, OLD)).open(stored)
    assert said in str(error.value)
    assert "in-the-clear" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("hunter2", "has a key, number 1, that is not 32 bytes in URL-safe base64; make one: python -c"),
        (f"{NEW},hunter2", "has a key, number 2,"),
        (" , ", "has no key"),
        ("", "has no key"),
    ],
)
def test_a_wrong_key_is_explained_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    for name, good in {**GOOD, "TOKEN_KEYS": value}.items():
        monkeypatch.setenv(name, good)
    with pytest.raises(SettingsError) as error:
        load(Settings)
    assert f"TOKEN_KEYS {said}" in str(error.value)
    assert "hunter2" not in str(error.value)


def seal_tokens(database: Database, *keys: str) -> Any:
    return module(
        "app.cli",
        "seal-tokens",
        DATABASE_URL=database.url("app"),
        JWT_SECRET=JWT_SECRET,
        **({"TOKEN_KEYS": ",".join(keys)} if keys else {}),
    )


def link(connection: psycopg.Connection[Any], number: int, **tokens: str | None) -> None:
    """An account of a user of its own, with an old time of change."""
    connection.execute(
        "WITH made AS (INSERT INTO users (email, role, first_name, last_name)"
        " VALUES (%(email)s, 'candidate', 'Ada', 'Byron') RETURNING id)"
        " INSERT INTO accounts (user_id, type, provider, provider_account_id, access_token, refresh_token,"
        " id_token, updated_at) SELECT id, 'oauth', 'google', %(email)s, %(access_token)s, %(refresh_token)s,"
        " %(id_token)s, '2026-01-01' FROM made",
        {
            "email": f"linked{number}@example.com",
            **dict.fromkeys(("access_token", "refresh_token", "id_token")),
            **tokens,
        },
    )


def accounts(database: Database) -> list[dict[str, Any]]:
    columns = ("access_token", "refresh_token", "id_token")
    rows = database.rows(f"SELECT {', '.join(columns)} FROM accounts ORDER BY id")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_tokens_in_the_clear_are_sealed_before_the_rule_that_refuses_them(empty_database: Database) -> None:
    upgrade(empty_database, BEFORE_THE_RULE)
    with empty_database.connect("app") as connection:
        link(connection, 1, access_token="access 1", refresh_token="refresh 1", id_token="id 1")
        link(connection, 2, access_token="access 2")
        link(connection, 3)
    with pytest.raises(DBAPIError, match=r"python -m app\.cli seal-tokens"):
        upgrade(empty_database)
    done = seal_tokens(empty_database, NEW)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 accounts sealed with the first key, 0 cannot be opened\n"
    opened = [open_tokens(Sealer((NEW,)), account) for account in accounts(empty_database)]
    assert opened == [
        {"access_token": "access 1", "refresh_token": "refresh 1", "id_token": "id 1"},
        {"access_token": "access 2", "refresh_token": None, "id_token": None},
        {"access_token": None, "refresh_token": None, "id_token": None},
    ]
    upgrade(empty_database)


def test_after_a_new_key_tokens_are_sealed_with_it_and_the_old_one_can_go(database: Database) -> None:
    with database.connect("app") as connection:
        for number in range(7):
            link(connection, number, access_token=Sealer((OLD,)).seal(f"token {number}"))
    done = seal_tokens(database, NEW, OLD)
    assert done.stdout == "7 accounts sealed with the first key, 0 cannot be opened\n", done.stderr
    tokens = [open_tokens(Sealer((NEW,)), account)["access_token"] for account in accounts(database)]
    assert tokens == [f"token {number}" for number in range(7)]


def test_a_second_run_changes_nothing(database: Database) -> None:
    with database.connect("app") as connection:
        link(connection, 1, access_token=Sealer((OLD,)).seal("token"))
    seal_tokens(database, NEW, OLD)
    before = database.rows("SELECT xmin, * FROM accounts")
    done = seal_tokens(database, NEW, OLD)
    assert (done.returncode, done.stdout) == (
        0,
        "0 accounts sealed with the first key, 0 cannot be opened\n",
    )
    assert database.rows("SELECT xmin, * FROM accounts") == before


def test_sealing_leaves_the_time_of_the_last_change(database: Database) -> None:
    with database.connect("app") as connection:
        link(connection, 1, access_token=Sealer((OLD,)).seal("token"))
    seal_tokens(database, NEW, OLD)
    assert database.rows("SELECT updated_at = '2026-01-01' FROM accounts") == [(True,)]


def test_tokens_that_need_a_missing_key_are_named_and_left(database: Database) -> None:
    with database.connect("app") as connection:
        link(connection, 1, access_token=Sealer((UNKNOWN,)).seal("lost"))
        link(connection, 2, access_token=Sealer((OLD,)).seal("token"))
    before = accounts(database)
    done = seal_tokens(database, NEW, OLD)
    assert done.returncode == 1
    assert done.stdout == "1 accounts sealed with the first key, 1 cannot be opened\n"
    assert "accounts 1" in done.stderr
    assert accounts(database)[0] == before[0]


def test_sealing_without_a_key_says_what_is_missing(database: Database) -> None:
    done = seal_tokens(database)
    assert (done.returncode, done.stdout) == (2, "")
    assert "TOKEN_KEYS is not set" in done.stderr


@pytest.mark.parametrize("batch", [1, 2, 7, 500])
def test_batches_of_any_size_seal_every_account_once(database: Database, batch: int) -> None:
    with database.connect("app") as connection:
        for number in range(7):
            link(connection, number, refresh_token=Sealer((OLD,)).seal(str(number)))
        assert reseal(connection, Sealer((NEW, OLD)), batch) == (7, [])
    opened = [open_tokens(Sealer((NEW,)), account)["refresh_token"] for account in accounts(database)]
    assert opened == [str(number) for number in range(7)]
