"""The one engine, and what hands out its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated, Any, cast

import psycopg
from fastapi import Depends, Request
from sqlalchemy import URL, Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only

from app.metrics import DATABASE_WAIT
from app.pool_statistics import PoolStatistics
from app.settings import Settings

# Behind pgBouncer in transaction mode the next transaction may run on another server connection, which does
# not know what this one prepared; psycopg prepares by itself after five uses unless told not to.
NO_PREPARED_STATEMENTS: dict[str, Any] = {"prepare_threshold": None}
# A host that is gone says nothing, not even that: without these a statement to it hangs for a quarter of an
# hour, and with it its connection. Seconds, but tcp_user_timeout is in milliseconds; measured: 10 to 15 s.
NOTICE_DEAD_HOSTS: dict[str, Any] = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


# Begins a transaction and asks whether anybody is there, in one round trip where the driver would make two.
BEGIN = "BEGIN; SELECT 1"
# Between two attempts to connect where the last one found nobody; seconds.
RETRY_SECONDS = 0.1
# In a connection record's notes: the connection that it had before was lost.
LOST = "lost"


def make_engine(settings: Settings) -> AsyncEngine:
    """An async engine on the pooled endpoint. Connects to nothing yet."""
    engine = create_async_engine(
        settings.url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_recycle=settings.database_pool_recycle,
        pool_timeout=settings.database_pool_timeout,
        # In no error and no log: parameters are what people sent.
        hide_parameters=True,
        connect_args={
            **NO_PREPARED_STATEMENTS,
            **NOTICE_DEAD_HOSTS,
            "connect_timeout": settings.database_connect_timeout,
            "application_name": "intowork-api",
            # The driver adds no BEGIN of its own: each transaction begins with `BEGIN`, below.
            "autocommit": True,
        },
    )
    # As long as a request waits, and not quite: so it learns what the reason was.
    survive_restarts(engine, settings.database_wait_seconds - 2 * RETRY_SECONDS)
    return engine


def survive_restarts(engine: AsyncEngine, seconds: float) -> None:
    """Let a pooler that restarts cost time and no request.

    A pgBouncer that is told to stop lets open transactions end and drops everybody else, those too whose
    first statement waits. So the first statement of each transaction is one that may be repeated, as nothing
    was done before it: it asks, and begins the transaction. From then on the pooler waits for this client.

    Args:
        engine: its pool, and where its transactions begin. Its driver must be in autocommit mode.
        seconds: how long an attempt to connect goes on while nobody answers.
    """
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(
        _dialect: Dialect, _record: object, words: tuple[Any, ...], options: dict[str, Any]
    ) -> DBAPIConnection:
        deadline = monotonic() + seconds
        while True:
            try:
                return _answering_connection(dialect, words, options)
            except psycopg.OperationalError as error:
                # With a code it is an answer: the pooler has no server, and made this client wait for one.
                if error.sqlstate is not None or monotonic() >= deadline:
                    raise
            await_only(asyncio.sleep(RETRY_SECONDS))

    @event.listens_for(engine.sync_engine, "checkout")
    def begin(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        notes = cast(dict[str, bool], record.record_info)
        cursor = connection.cursor()
        try:
            cursor.execute(BEGIN)
        except psycopg.Error as error:
            gone = dialect.is_disconnect(error, connection, None)  # type: ignore[arg-type]
            if notes.pop(LOST, False) or not gone:
                raise
            # The pool makes a new connection, once, and one for each other that is as old as this.
            notes[LOST] = True
            raise InvalidatePoolError from error
        else:
            notes.pop(LOST, None)
        finally:
            cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_next(connection: Connection) -> None:
        # After a commit in the same checkout; the first transaction has begun.
        driver = cast(psycopg.AsyncConnection, connection.connection.driver_connection)
        if driver.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            connection.exec_driver_sql(BEGIN)


def _answering_connection(
    dialect: Dialect, words: tuple[Any, ...], options: dict[str, Any]
) -> DBAPIConnection:
    connection = dialect.connect(*words, **options)
    try:
        # pgBouncer lets a client in although it has no server, or will soon be gone.
        dialect.do_ping(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connection_parameters(url: URL) -> dict[str, Any]:
    """What `psycopg.connect` needs to reach the same database as `url`, as keyword arguments."""
    parts = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
    }
    given = {name: value for name, value in parts.items() if value is not None}
    return {**NOTICE_DEAD_HOSTS, **given, **url.query, **NO_PREPARED_STATEMENTS}


class SilentDatabaseError(Exception):
    """No connection answered anyone for `database_wait_seconds`."""


# Tasks that nobody waits for any more; asyncio itself keeps no reference to a task.
_left_behind: set[asyncio.Task[None]] = set()


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for one request, with a transaction that has begun; what it did not commit is rolled back.

    Raises:
        SilentDatabaseError: pgBouncer accepts connections but has no server for them, or does not answer.
    """
    settings: Settings = request.app.state.settings
    pool: PoolStatistics = request.app.state.pool
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    opened = sessions()
    connecting = asyncio.create_task(_connect(opened))
    try:
        await _wait(connecting, pool, settings.database_wait_seconds)
        yield opened
    finally:
        if connecting.done():
            await opened.close()
            pool.publish()
        else:
            closing = asyncio.create_task(_close_later(connecting, opened, pool))
            _left_behind.add(closing)
            closing.add_done_callback(_left_behind.discard)


async def _connect(opened: AsyncSession) -> None:
    await opened.connection()


async def _wait(connecting: asyncio.Task[None], pool: PoolStatistics, seconds: float) -> None:
    began = monotonic()
    with pool.waiting():
        while not connecting.done():
            left = pool.patience(began, seconds)
            if left <= 0:
                pool.gave_up()
                raise SilentDatabaseError
            # Waited for, not cancelled at the limit: to cancel, psycopg waits for the server that is silent.
            await asyncio.wait({connecting}, timeout=left)
    await connecting
    pool.answered()
    DATABASE_WAIT.observe(monotonic() - began)


async def _close_later(connecting: asyncio.Task[None], opened: AsyncSession, pool: PoolStatistics) -> None:
    await asyncio.wait({connecting})
    # Its error, if any, was answered with 503 long ago; asked for, so that asyncio does not report it.
    if connecting.exception() is None:
        pool.answered()
    await opened.close()
    pool.publish()


Database = Annotated[AsyncSession, Depends(session)]
