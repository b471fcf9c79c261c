"""Ways in which a database goes away or is overloaded, each with its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import NamedTuple

import httpx
import psycopg

from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Person
from harness.server import SLACK, Server


class Site(NamedTuple):
    """An API whose pooler and database are its own, with a job and a candidate.

    Attributes:
        wait: seconds after which a request is to be answered, whatever has happened to the database.
    """

    server: Server
    pooler: Pooler
    database: Database
    job: int
    person: Person
    wait: float

    def apply(self) -> httpx.Response:
        """A request that writes; an error if it is not answered in time."""
        return self.server.request(
            "POST",
            "/api/applications/apply",
            json={"job_id": self.job},
            headers=self.person.headers,
            timeout=self.wait + SLACK,
        )


@contextmanager
def pooler_paused(site: Site) -> Iterator[None]:
    """Clients are held, as for a restart."""
    site.pooler.command(f"PAUSE {site.database.name}")
    yield
    site.pooler.command(f"RESUME {site.database.name}")


@contextmanager
def pooler_gone(site: Site) -> Iterator[None]:
    """Nobody listens."""
    site.pooler.stop()
    yield
    site.pooler.start()


@contextmanager
def pooler_disabled(site: Site) -> Iterator[None]:
    """New clients are refused by the pooler, the old ones' connections are closed."""
    site.pooler.command(f"DISABLE {site.database.name}")
    site.pooler.command(f"KILL {site.database.name}")
    yield
    site.pooler.command(f"RESUME {site.database.name}")
    site.pooler.command(f"ENABLE {site.database.name}")


@contextmanager
def pooler_full_of_clients(site: Site) -> Iterator[None]:
    """The pooler takes no further client, and the API has no connection left."""
    site.pooler.stop()
    site.pooler.start()
    user, password = site.database.cluster.login("app")
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(
                psycopg.connect(
                    host=site.pooler.host,
                    port=site.pooler.port,
                    dbname=site.database.name,
                    user=user,
                    password=password,
                    autocommit=True,
                )
            )
        yield


@contextmanager
def pooler_out_of_servers(site: Site) -> Iterator[None]:
    """The one server connection is in a transaction that does not end."""
    user, password = site.database.cluster.login("app")
    with psycopg.connect(
        host=site.pooler.host,
        port=site.pooler.port,
        dbname=site.database.name,
        user=user,
        password=password,
    ) as connection:
        connection.execute("SELECT 1")
        yield


@contextmanager
def server_out_of_connections(site: Site) -> Iterator[None]:
    """The server takes no connection of this database."""
    site.database.run(
        f"ALTER DATABASE {site.database.name} CONNECTION LIMIT 0",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    yield
    site.database.run(f"ALTER DATABASE {site.database.name} CONNECTION LIMIT -1")


@contextmanager
def server_read_only(site: Site) -> Iterator[None]:
    """As a standby is, or a server that somebody stopped writing to."""
    name = site.database.name
    site.database.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    site.pooler.command("RECONNECT")
    yield
    with closing(site.database.connect(options="-c default_transaction_read_only=off")) as connection:
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    site.pooler.command("RECONNECT")


@contextmanager
def table_locked(site: Site) -> Iterator[None]:
    """Longer than the application waits for a lock."""
    role = site.database.cluster.role("app")
    site.database.run(f"ALTER ROLE {role} IN DATABASE {site.database.name} SET lock_timeout = '100ms'")
    site.pooler.command("RECONNECT")
    with site.database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE job_applications")
        yield


# With the words for it in the metrics; the pooler tells some both to old clients and to new ones.
OUTAGES: dict[str, tuple[Callable[[Site], AbstractContextManager[None]], set[str]]] = {
    "the pooler is paused": (pooler_paused, {"no_answer"}),
    "the pooler is gone": (pooler_gone, {"connection", "no_answer"}),
    "the pooler refuses the database": (pooler_disabled, {"connection", "pooler", "no_answer"}),
    "the pooler has no place for a client": (pooler_full_of_clients, {"connection", "pooler", "no_answer"}),
    "the pooler has no server connection": (pooler_out_of_servers, {"pooler"}),
    "the server has no connection left": (server_out_of_connections, {"connection", "pooler", "no_answer"}),
    "the server takes no writes": (server_read_only, {"read_only"}),
    "somebody holds a lock": (table_locked, {"lock_timeout"}),
}
