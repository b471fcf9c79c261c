"""SCRAM verifiers: the RFC's own example, PostgreSQL's form, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible.module_utils.scram import make_verifier, matches, password_problem
from hypothesis import given, settings
from hypothesis import strategies as st

# Made by PostgreSQL 15.18: CREATE ROLE x PASSWORD 'correct-horse'; SELECT rolpassword FROM pg_authid
FROM_POSTGRESQL = (
    "SCRAM-SHA-256$4096:9Z3q6spI132dOfg9FnerJQ=="
    "$TtboxfLO4tCkaCNZaBR11LT2ijSBvmzSNZEq+KZdEsU=:CKd4b2RmmDFvTc4GBu5HYmgB9mpQ9Tuq4oVlpAI+fGs="
)
RFC_7677_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
PASSWORDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40)


def test_verifier_made_by_postgresql_matches_its_password() -> None:
    assert matches("correct-horse", FROM_POSTGRESQL)


def test_verifier_made_by_postgresql_does_not_match_another_password() -> None:
    assert not matches("correct-horsf", FROM_POSTGRESQL)


def test_keys_agree_with_the_example_exchange_of_rfc_7677() -> None:
    """Section 3: its client proof and server signature come from the keys that are stored here."""
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    messages = ",".join(
        [
            "n=user",
            f"r={nonce[:20]}",
            f"r={nonce}",
            "s=W22ZaJ0SNY7soEsUEjb6gQ==",
            "i=4096",
            "c=biws",
            f"r={nonce}",
        ]
    )
    keys = make_verifier("pencil", salt=RFC_7677_SALT, iterations=4096).split("$")[2]
    stored_key, server_key = map(base64.b64decode, keys.split(":"))
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_signature = hmac.digest(stored_key, messages.encode(), "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, client_signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key
    signature = hmac.digest(server_key, messages.encode(), "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@settings(max_examples=25, deadline=None)
@given(password=PASSWORDS)
def test_every_verifier_made_here_matches_its_password_and_no_longer_one(password: str) -> None:
    verifier = make_verifier(password, iterations=2)
    assert matches(password, verifier)
    assert not matches(password + "x", verifier)


def test_two_verifiers_of_one_password_differ_by_their_salt() -> None:
    assert make_verifier("pencil") != make_verifier("pencil")


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "md5c81e728d9d4c2f636f067f89cc14862c",
        "pencil",
        "SCRAM-SHA-256$4096:W22Z",
        FROM_POSTGRESQL.replace("SCRAM-SHA-256$4096", "SCRAM-SHA-256$0"),
        FROM_POSTGRESQL.replace(":", ":=", 1),
        FROM_POSTGRESQL + "x",
    ],
)
def test_anything_that_is_no_scram_verifier_never_matches(stored: str | None) -> None:
    assert not matches("correct-horse", stored)


@pytest.mark.parametrize(
    ("password", "said"),
    [("", "empty"), ("pässword", "ASCII"), ("tab\there", "ASCII"), (FROM_POSTGRESQL, "plaintext")],
)
def test_unusable_password_is_refused_with_a_reason_that_does_not_repeat_it(password: str, said: str) -> None:
    problem = password_problem(password)
    assert problem is not None
    assert said in problem
    assert not password or password not in problem
    with pytest.raises(ValueError, match=said):
        make_verifier(password)
