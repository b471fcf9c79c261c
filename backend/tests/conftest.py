"""Fixtures: the cluster, databases at head or empty, the pooler, the API behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy

from harness.cluster import Cluster, Database
from harness.migrations import BACKEND, upgrade
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import Server
from harness.site import FLOOR_SECONDS, TOKEN_KEYS, Site, mail_settings


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The throwaway cluster, with roles of this run's own."""
    made = Cluster()
    made.create_roles()
    yield made
    made.drop_roles()


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> Iterator[Database]:
    """A database at head that others are copied from; nobody connects to it."""
    made = cluster.create()
    upgrade(made)
    # As in production: the app does not write what only migrations may.
    made.run(f"REVOKE ALL ON alembic_version FROM {cluster.role('app')}")
    yield made
    cluster.drop(made)


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[Database]:
    """A database without tables."""
    made = cluster.create()
    yield made
    cluster.drop(made)


@pytest.fixture
def database(cluster: Cluster, template: Database) -> Iterator[Database]:
    """A database at head, without rows."""
    made = cluster.create(template)
    yield made
    cluster.drop(made)


@pytest.fixture(scope="session")
def pooler(cluster: Cluster) -> Iterator[Pooler]:
    """pgBouncer with ten server connections for each database."""
    made = Pooler(cluster, pool_size=10)
    made.start()
    yield made
    made.close()


@pytest.fixture
def fragile_pooler(cluster: Cluster) -> Iterator[Pooler]:
    """A pgBouncer of the test's own, to stop and freeze."""
    made = Pooler(cluster, pool_size=10)
    made.start()
    yield made
    made.close()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts APIs that end with the test: start_server(URL, VARIABLE="value")."""
    started: list[Server] = []

    def start(url: str, **variables: str) -> Server:
        server = Server(url, tmp_path / f"api{len(started)}.log", **variables)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def api_database(cluster: Cluster, template: Database) -> Iterator[Database]:
    """The database of `api`; tests share it and keep to rows of their own."""
    made = cluster.create(template)
    yield made
    cluster.drop(made)


@pytest.fixture(scope="session")
def server(
    api_database: Database, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The API behind the pooler, for all tests that leave it as it is."""
    log = tmp_path_factory.mktemp("api") / "api.log"
    made = Server(
        api_database.url("app", pooler.host, pooler.port), log, CORS_ORIGINS="https://intowork.test"
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[httpx.Client]:
    """A client of `server`."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def site(api_database: Database, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The API on the same database as `api`, to sign in at: it sends mail."""
    directory = tmp_path_factory.mktemp("site")
    server = Server(
        api_database.url("app", pooler.host, pooler.port),
        directory / "api.log",
        **mail_settings(directory / "mail"),
        TOKEN_KEYS=",".join(TOKEN_KEYS),
        SIGN_IN_FLOOR_SECONDS=str(FLOOR_SECONDS),
    )
    server.start()
    made = Site(server, directory / "mail")
    yield made
    made.client.close()
    server.stop()


@pytest.fixture
def rows(api_database: Database) -> Iterator[Rows]:
    """Makes rows in the database of `api`."""
    with api_database.connect("app") as connection:
        yield Rows(connection)


@pytest.fixture
def alembic_config() -> dict[str, str]:
    """Asked for by pytest-alembic."""
    return {"file": str(BACKEND / "alembic.ini"), "script_location": str(BACKEND / "alembic")}


@pytest.fixture
def alembic_engine(empty_database: Database) -> Iterator[sqlalchemy.Engine]:
    """Asked for by pytest-alembic: an empty database, as the migrator."""
    engine = sqlalchemy.create_engine(empty_database.url("migrator"), poolclass=sqlalchemy.NullPool)
    yield engine
    engine.dispose()
