"""A session for an operator's command: libpq's words, the socket for root, never a pooler, nothing left waiting."""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

SUPERUSER = "postgres"
# Where Debian's server has its socket; libpq looks there too.
SOCKETS = "/var/run/postgresql"
# Of a command that only looks.
STATEMENT_TIMEOUT = "60s"
CONNECTION_HELP = (
    "Options left out are taken from the environment as psql does: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, "
    "PGSERVICE, ~/.pgpass. On the database host nothing is needed: root becomes postgres for the socket. "
    "Connect to PostgreSQL itself (port 5432), not to pgBouncer."
)


class DatabaseError(Exception):
    """The command cannot go on; the text says why and what to do."""


class Session:
    """A direct session in autocommit, whose rows are dictionaries."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.connection = connection

    def rows(
        self, query: LiteralString | sql.Composed, values: Sequence[Any] | dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """All rows of a query."""
        text = query if isinstance(query, sql.Composed) else sql.SQL(query)
        return self.connection.execute(text, values).fetchall()

    def row(
        self, query: LiteralString | sql.Composed, values: Sequence[Any] | dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The only row of a query."""
        [row] = self.rows(query, values)
        return row

    def run(self, statement: LiteralString | sql.Composed) -> None:
        """A statement without rows."""
        text = statement if isinstance(statement, sql.Composed) else sql.SQL(statement)
        self.connection.execute(text)

    def set(self, name: str, value: str) -> None:
        """A setting of this session."""
        self.rows("SELECT set_config(%s, %s, false)", [name, value])

    @property
    def database(self) -> str:
        """The name of the database."""
        return self.connection.info.dbname

    @property
    def is_local(self) -> bool:
        """Whether the server is on this host for certain: by its socket. A port may be forwarded."""
        return is_socket(self.connection.info.host)

    def schema_of(self, extension: str) -> str | None:
        """The schema of an extension that this database has."""
        found = self.rows(
            "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = %s",
            [extension],
        )
        return str(found[0]["nspname"]) if found else None


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """--host, --port, --dbname and --user, as psql has them."""
    group = parser.add_argument_group("connection", CONNECTION_HELP)
    group.add_argument("--host", "-H", metavar="HOST", help="server's name, address or socket directory")
    group.add_argument("--port", "-p", type=int, metavar="PORT", help="port of PostgreSQL")
    group.add_argument(
        "--dbname",
        "-d",
        metavar="NAME",
        help="database, or a connection string; without it the only one that there is beside postgres",
    )
    group.add_argument("--user", "-U", metavar="ROLE", help="role; pg_monitor's rights are enough to look")


@contextmanager
def connect(options: argparse.Namespace, application: str, *, read_only: bool = True) -> Iterator[Session]:
    """A session by these options.

    A command that only looks is read-only and gives up on a lock after 2 s and on a query after a minute: it must not
    stand in the way of what it looks at. Raises DatabaseError.
    """
    chosen = options.dbname or os.environ.get("PGDATABASE") or os.environ.get("PGSERVICE")
    dbname = options.dbname or ("" if chosen else _only_database(options, application))
    connection = _open(options, application, dbname)
    try:
        session = Session(connection)
        _refuse_a_pooler(session)
        # Names are written with their schema, whatever the role's own search_path.
        session.set("search_path", "pg_catalog")
        session.set("statement_timeout", STATEMENT_TIMEOUT if read_only else "0")
        if read_only:
            session.set("lock_timeout", "2s")
            session.set("default_transaction_read_only", "on")
        yield session
    finally:
        connection.close()


def is_socket(host: str) -> bool:
    """Whether libpq takes this host for a socket: a directory or nothing."""
    return not host or host.startswith(("/", "@"))


def _only_database(options: argparse.Namespace, application: str) -> str:
    """The product's database, where there is one only. Looking at `postgres` would find all well."""
    with _open(options, application, "postgres") as connection:
        found = connection.execute(
            "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'"
            " ORDER BY 1"
        ).fetchall()
    names = [str(row["datname"]) for row in found]
    if len(names) == 1:
        return names[0]
    there = ", ".join(names) or "none but postgres"
    raise DatabaseError(f"which database? Name it with --dbname or PGDATABASE; there are: {there}")


def _open(options: argparse.Namespace, application: str, dbname: str) -> psycopg.Connection[dict[str, Any]]:
    words: dict[str, Any] = {"host": options.host, "port": options.port, "user": options.user}
    host = options.host or os.environ.get("PGHOST", "")
    user = options.user or os.environ.get("PGUSER")
    become = None
    if os.geteuid() == 0 and is_socket(host) and not os.environ.get("PGSERVICE"):
        # By peer, the server lets the unix user of a role's name in, and root is nobody to it.
        become = words["user"] = user or SUPERUSER
    is_string = "=" in dbname or "://" in dbname
    words["dbname"] = None if is_string else dbname
    words = {name: word for name, word in words.items() if word}
    try:
        with _acting_as(become):
            return psycopg.connect(
                dbname if is_string else "",
                **words,
                application_name=application,
                connect_timeout=10,
                autocommit=True,
                row_factory=dict_row,
            )
    except psycopg.Error as error:
        raise DatabaseError(f"cannot connect: {str(error).strip()}\n{CONNECTION_HELP}") from error


@contextmanager
def _acting_as(user: str | None) -> Iterator[None]:
    """The server asks the kernel who opened the socket: the effective user at that moment."""
    if user is None:
        yield
        return
    try:
        number = pwd.getpwnam(user).pw_uid
    except KeyError as error:
        if user == SUPERUSER:
            raise DatabaseError(
                f"there is no user {user} on this host, so no PostgreSQL: name the server with --host"
            ) from error
        # A role without a unix user: by password, as pg_hba.conf has it.
        number = os.geteuid()
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)


def _refuse_a_pooler(session: Session) -> None:
    """Before anything is set: a pooler would hand our settings to the application's next transaction."""
    mine = session.row("SELECT pg_backend_pid() AS pid")["pid"]
    # A pooler gives its clients a key of its own for cancelling.
    if mine != session.connection.info.backend_pid:
        raise DatabaseError(
            f"port {session.connection.info.port} is a pooler's (pgBouncer), and the settings of this session would"
            " leak into the application's: connect to PostgreSQL itself, mostly --port 5432"
        )
