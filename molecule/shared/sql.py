"""SQL as a role, through the pool or directly; what PostgreSQL refuses has its SQLSTATE."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace

from shared.landscape import Landscape
from shared.machine import Machine


class SqlError(Exception):
    """A statement or a connection was refused. `sqlstate` is empty where the connection itself failed."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        found = re.search(r"^ERROR:  (\w{5}):", message, re.MULTILINE)
        self.sqlstate = found[1] if found else ""


@dataclass(frozen=True)
class Sql:
    """One way to the database: as `user`, to `port` of `address`, over TCP with TLS, with psql on `machine`."""

    machine: Machine
    address: str
    database: str
    user: str
    password: str = field(repr=False)
    port: int
    sslmode: str = "require"

    def __call__(self, *statements: str, timeout: int = 30) -> str:
        """Run statements in one session, each in a transaction of its own, and return their rows, a line each.

        Columns are separated by `|`. SqlError when one is refused; the rest is not run then.
        """
        words = ["psql", self.conninfo, "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]
        for statement in statements:
            words += ["-c", statement]
        script = f"PGPASSWORD={shlex.quote(self.password)} {shlex.join(words)} 2>&1"
        printed = self.machine.sh(script, timeout=timeout, ok=(0, 1, 2, 3))
        if re.search(r"(ERROR|FATAL): |^psql: error", printed, re.MULTILINE):
            raise SqlError(printed)
        return printed

    @property
    def conninfo(self) -> str:
        """libpq's words for the connection, without the password."""
        return (
            f"host={self.address} port={self.port} dbname={self.database} user={self.user} "
            f"sslmode={self.sslmode} connect_timeout=5"
        )


# libpq's own calls: rows come as text, as psql shows them.
DRIVER = """
import sys
from psycopg import pq
connection = pq.PGconn.connect(sys.argv[1].encode())
if connection.status != pq.ConnStatus.OK:
    sys.exit(connection.error_message.decode())
for statement in sys.argv[2:]:
    connection.send_query(statement.encode())
    while result := connection.get_result():
        if result.status == pq.ExecStatus.FATAL_ERROR:
            state = result.error_field(pq.DiagnosticField.SQLSTATE)
            sys.exit(f"ERROR:  {state.decode()}: {result.error_message.decode()}")
        for row in range(result.ntuples):
            print("|".join((result.get_value(row, column) or b"").decode() for column in range(result.nfields)))
"""


@dataclass(frozen=True)
class DriverSql(Sql):
    """As `Sql`, with the driver of the release that serves: an API host has no psql."""

    product: str = ""

    def __call__(self, *statements: str, timeout: int = 30) -> str:
        """As `Sql`."""
        words = [f"/srv/{self.product}/current/venv/bin/python", "-c", DRIVER, self.conninfo, *statements]
        script = f"PGPASSWORD={shlex.quote(self.password)} {shlex.join(words)} 2>&1"
        printed = self.machine.sh(script, timeout=timeout, ok=(0, 1))
        if re.search(r"(ERROR|FATAL): |^connection .*failed", printed, re.MULTILINE):
            raise SqlError(printed)
        return printed


@dataclass(frozen=True)
class Superuser:
    """The superuser, through the socket, as root of the database host is."""

    machine: Machine
    database: str
    socket: str = "/var/run/postgresql"

    def __call__(self, *statements: str, timeout: int = 30) -> str:
        """As `Sql`."""
        return self.machine.sh(f"{self.command(*statements)} 2>&1", timeout=timeout)

    def command(self, *statements: str) -> str:
        """What runs them in a shell of the host."""
        words = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-U", "postgres"]
        words += ["-h", self.socket, "-d", self.database]
        for statement in statements:
            words += ["-c", statement]
        return shlex.join(words)


@dataclass(frozen=True)
class Endpoints:
    """The ways to the database of a landscape."""

    landscape: Landscape

    @property
    def superuser(self) -> Superuser:
        """The superuser."""
        return Superuser(self.landscape.first("database"), self.landscape.value("bundle_database"))

    def direct(self, role: str, password: str | None = None, *, sslmode: str = "require") -> Sql:
        """PostgreSQL itself, from an API host, as one of the inventory's roles (`app`, `migrator`) or as any name."""
        way = self._way(role, password, "bundle_postgresql_port")
        machine, product = self.landscape.first("api"), self.landscape.value("bundle_name")
        return DriverSql(
            machine, way.address, way.database, way.user, way.password, way.port, sslmode, product=product
        )

    def beside(self, role: str) -> Sql:
        """PostgreSQL itself, from its own host, where the tools that do not come through the pool are."""
        return replace(self._way(role, None, "bundle_postgresql_port"), address="127.0.0.1")

    def pooled(self, role: str, password: str | None = None) -> Sql:
        """The pooler, from its own host, as one of the inventory's roles or as any name."""
        return self._way(role, password, "bundle_pgbouncer_port")

    def console(self, role: str) -> Sql:
        """The pooler's own console, as `admin` or `stats`."""
        way = self.pooled(f"pgbouncer_{role}", self.landscape.value(f"vault_pgbouncer_{role}_password"))
        return replace(way, database="pgbouncer")

    def _way(self, role: str, password: str | None, port: str) -> Sql:
        values = self.landscape
        known = f"bundle_{role}_user"
        user = values.value(known) if known in values.variables else role
        secret = values.value(f"vault_{role}_password") if password is None else password
        machine = values.first("database")
        return Sql(
            machine, machine.address, values.value("bundle_database"), user, secret, int(values.value(port))
        )
