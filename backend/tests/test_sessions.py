"""A login and a new password at the same moment: no session of the old password is left."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app import password_reset, sessions
from harness.cluster import Database
from harness.race import two_sessions, waits_for_a_lock
from harness.rows import Rows
from harness.site import new_address

HASH = "$argon2id$of the old password"
DAY = timedelta(days=1)


@pytest.fixture
def somebody(rows: Rows) -> tuple[int, str]:
    """A user with a password: id and address."""
    email = new_address()
    return rows.user("candidate", email=email, password_hash=HASH), email


def sessions_of(database: Database, user_id: int) -> int:
    return int(database.rows("SELECT count(*) FROM sessions WHERE user_id = %s", user_id)[0][0])


def test_a_login_that_waits_for_a_reset_begins_no_session(
    api_database: Database, somebody: tuple[int, str]
) -> None:
    user_id, email = somebody

    async def race() -> str | None:
        async with two_sessions(api_database) as (resetting, beginning):
            asked = await password_reset.add_reset(resetting, email)
            assert asked is not None
            assert asked.token is not None
            await resetting.commit()
            assert await password_reset.reset(resetting, asked.token, "$argon2id$new") is not None
            login = asyncio.create_task(sessions.begin(beginning, user_id, HASH, DAY))
            await waits_for_a_lock(api_database)
            await resetting.commit()
            begun = await login
            await beginning.commit()
            return begun

    assert asyncio.run(race()) is None
    assert sessions_of(api_database, user_id) == 0


def test_a_reset_that_waits_for_a_login_ends_its_session(
    api_database: Database, somebody: tuple[int, str]
) -> None:
    user_id, email = somebody

    async def race() -> str | None:
        async with two_sessions(api_database) as (resetting, beginning):
            asked = await password_reset.add_reset(resetting, email)
            assert asked is not None
            assert asked.token is not None
            await resetting.commit()
            begun = await sessions.begin(beginning, user_id, HASH, DAY)
            reset = asyncio.create_task(password_reset.reset(resetting, asked.token, "$argon2id$new"))
            await waits_for_a_lock(api_database)
            await beginning.commit()
            assert await reset is not None
            await resetting.commit()
            return begun

    assert asyncio.run(race()) is not None
    assert sessions_of(api_database, user_id) == 0
