"""Passwords: argon2id as OWASP asks, bcrypt as it was stored, and the same work without a user."""

from __future__ import annotations

import asyncio
import resource

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from app.passwords import hash_password, is_outdated, verify_password
from harness.passwords import by_bcrypt

PASSWORD = "correct horse battery staple"


def verified(password_hash: str | None, password: str) -> bool:
    return asyncio.run(verify_password(password_hash, password))


def test_a_new_hash_is_argon2id_with_19_mib_and_two_passes() -> None:
    parameters = extract_parameters(asyncio.run(hash_password(PASSWORD)))
    assert parameters.type is Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19 * 1024, 2, 1)


def test_the_same_password_has_another_hash_each_time() -> None:
    assert asyncio.run(hash_password(PASSWORD)) != asyncio.run(hash_password(PASSWORD))


@pytest.mark.parametrize(("password", "right"), [(PASSWORD, True), (PASSWORD.upper(), False), ("", False)])
def test_a_hash_knows_its_password(password: str, right: bool) -> None:
    assert verified(asyncio.run(hash_password(PASSWORD)), password) is right


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
@pytest.mark.parametrize(("password", "right"), [(PASSWORD, True), (PASSWORD.upper(), False)])
def test_a_stored_bcrypt_hash_knows_its_password(prefix: bytes, password: str, right: bool) -> None:
    assert verified(by_bcrypt(PASSWORD, prefix), password) is right


@pytest.mark.parametrize("length", [71, 72, 73, 128, 1000])
def test_a_password_beyond_what_bcrypt_sees_is_no_error(length: int) -> None:
    assert verified(by_bcrypt("é" * length), "é" * length)
    assert not verified(by_bcrypt("é" * length), "e" * length)


@pytest.mark.parametrize("stored", ["", "plain", PASSWORD, "$2b$12$short", "$2b$", "$argon2id$broken", "é"])
def test_what_is_no_hash_matches_nothing(stored: str) -> None:
    assert not verified(stored, PASSWORD)


def test_without_a_hash_nothing_matches() -> None:
    assert not verified(None, PASSWORD)


def test_without_a_user_as_much_is_computed_as_with_one() -> None:
    # Of the processor's time, not the clock's: others that work here at the same time do not count.
    def computing(password_hash: str | None) -> float:
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(5):
            verified(password_hash, "something else entirely")
        after = resource.getrusage(resource.RUSAGE_SELF)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    with_one = computing(asyncio.run(hash_password(PASSWORD)))
    assert computing(None) > with_one / 3


def test_the_event_loop_goes_on_while_passwords_are_hashed() -> None:
    async def turns_meanwhile() -> int:
        hashing = asyncio.gather(*(hash_password(PASSWORD) for _ in range(5)))
        turns = 0
        while not hashing.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    # Hashed on the loop, there would be about one turn for each.
    assert asyncio.run(turns_meanwhile()) > 100


@pytest.mark.parametrize(
    ("stored", "outdated"),
    [
        (by_bcrypt(PASSWORD), True),
        (by_bcrypt(PASSWORD, b"2y"), True),
        (PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD), True),
        (PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD), False),
    ],
)
def test_other_hashes_than_todays_are_outdated(stored: str, outdated: bool) -> None:
    assert is_outdated(stored) is outdated
