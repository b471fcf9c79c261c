"""SQLAlchemy's URLs in libpq's words, and what of them must never be shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from ansible.module_utils.database_url import DatabaseUrlError, elsewhere, parse, scrub, secrets_in
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

texts = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=20)


@given(texts, texts)
def test_login_is_decoded_as_sqlalchemy_does(user: str, password: str) -> None:
    url = f"postgresql+psycopg://{quote(user, safe='')}:{quote(password, safe='')}@db:5433/shop"
    expected = make_url(url)
    assert parse(url).libpq() == {
        "user": expected.username,
        "password": expected.password,
        "host": "db",
        "port": "5433",
        "dbname": "shop",
    }


@given(texts)
def test_no_spelling_of_a_password_survives(password: str) -> None:
    raw = quote(password, safe="")
    url = f"postgresql+psycopg://migrator:{raw}@db/shop"
    shown = scrub(f"{url}\n{password}\n{raw}", secrets_in(url, {}))
    assert shown == "********\n********\n********"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:p@[::1]:5433/d", {"host": "::1", "port": "5433"}),
        ("postgresql+psycopg2://u:p@/d?host=/run/postgresql", {"host": "/run/postgresql"}),
        ("postgresql+psycopg://u@/d?host=a:1&host=b:2", {"host": "a,b", "port": "1,2"}),
        ("postgresql+asyncpg://u:p@h/d?ssl=require&prepared_statement_cache_size=0", {"sslmode": "require"}),
        (
            "postgresql+psycopg://u:p%40ss@h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            {"password": "p@ss"},
        ),
        ("postgresql+psycopg://u:a#b/c@h/d", {"password": "a#b/c", "host": "h"}),
    ],
)
def test_words_of_a_url_are_libpqs(url: str, words: dict[str, str]) -> None:
    found = parse(url).libpq()
    assert words.items() <= found.items()
    assert "prepared_statement_cache_size" not in found


@pytest.mark.parametrize(
    ("url", "message"), [("mysql://u:secret@h/d", 'is for "mysql"'), ("secret", "is no SQLAlchemy URL")]
)
def test_other_url_is_refused_without_being_shown(url: str, message: str) -> None:
    with pytest.raises(DatabaseUrlError) as error:
        parse(url)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_placeholder_keeps_the_driver_and_nothing_else() -> None:
    shown = parse("postgresql+psycopg://migrator:secret@db:5432/shop?sslmode=require").placeholder()
    assert shown == "postgresql+psycopg://render:render@127.0.0.1:1/shop"


def test_plain_settings_are_no_secrets() -> None:
    environment = {
        "WORKERS": "1",
        "MODE": "production",
        "API_TOKEN": "t-1",
        "CACHE": "redis://u:hidden@cache/0",
        "SIGNING": "x" * 12,
    }
    found = secrets_in("postgresql://u:p-word@h/d", environment)
    assert {"t-1", "hidden", "p-word", "x" * 12} <= set(found)
    assert not {"1", "production", "u"} & set(found)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql+psycopg://me:p%40ss@192.0.2.1:5432/shop?sslmode=require",
            "postgresql+psycopg://me:p%40ss@192.0.2.7:5439/shop?sslmode=require",
        ),
        ("postgresql://me@[2001:db8::1]/shop", "postgresql://me@192.0.2.7:5439/shop"),
        ("postgresql://db.example/shop", "postgresql://192.0.2.7:5439/shop"),
    ],
)
def test_url_of_a_clone_is_the_live_one_at_another_address(url: str, expected: str) -> None:
    assert elsewhere(url, "192.0.2.7", 5439) == expected


def test_clone_at_an_ipv6_address_is_written_in_brackets() -> None:
    assert elsewhere("postgresql://db/shop", "2001:db8::7", 5439) == "postgresql://[2001:db8::7]:5439/shop"
