"""A superuser's sessions on the server, by its socket as the system user that peer authentication wants."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from typing import Any

import psycopg2
from ansible.module_utils.postgresql_statement import Statement

# No planted object and no setting of the login role changes what a statement means: names are pg_catalog's.
OPTIONS = "-c search_path= -c lock_timeout=10s -c statement_timeout=0 -c default_transaction_read_only=off"

# A verifier is not the password, but it can be guessed against at leisure and lets its holder pose as the
# server. The extension's setting may be named even where it is not loaded.
SILENCE = """SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_duration_sample = -1; SET LOCAL log_transaction_sample_rate = 0;
SET LOCAL log_duration = off; SET LOCAL log_min_error_statement = 'panic';
SET LOCAL pg_stat_statements.track_utility = off;
SET LOCAL track_activities = off"""


class UnreachableError(Exception):
    """No server answered; the message says where it was looked for."""


class RefusedError(Exception):
    """The server, or a statement, refused; the message says what and why, without secrets."""


@contextlib.contextmanager
def _as_system_user(name: str, host: str | None) -> Iterator[None]:
    """Be the system user while connecting, which is when the server asks the socket for it."""
    if host or os.geteuid() != 0:
        yield
        return
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        yield
        return
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


class Server:
    """Where the server is, and sessions on its databases, closed with it."""

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self._open: dict[str, Any] = {}

    def session(self, database: str) -> Any:
        """Return the connection to a database. Raises UnreachableError or RefusedError."""
        if database in self._open:
            return self._open[database]
        params = self._params
        host = params["login_host"]
        try:
            with _as_system_user(params["login_user"], host):
                self._open[database] = psycopg2.connect(
                    host=host or params["socket"],
                    port=params["port"],
                    user=params["login_user"],
                    password=params["login_password"],
                    dbname=database,
                    options=OPTIONS,
                    application_name="postgresql_access",
                    connect_timeout=10,
                )
        except psycopg2.OperationalError as error:
            where = f"{host or params['socket']}, port {params['port']}, {database} as {params['login_user']}"
            reason = " ".join(str(error).split())
            if "FATAL:" in reason and "starting up" not in reason:
                raise RefusedError(f"PostgreSQL refused the login ({where}): {reason}") from None
            raise UnreachableError(f"no PostgreSQL answered ({where}): {reason}") from None
        return self._open[database]

    def run(self, database: str, statements: list[Statement], *, transaction: bool = True) -> None:
        """Run the statements in one transaction, or one without. Raises RefusedError with the first error."""
        connection = self.session(database)
        connection.rollback()
        connection.autocommit = not transaction
        # Secret statements stand at the end of a transaction, so that the silence ends with it.
        silent = False
        with connection.cursor() as cursor:
            for each in statements:
                try:
                    if each.shown and not silent:
                        cursor.execute(SILENCE)
                        silent = True
                    cursor.execute(each.sql)
                except psycopg2.Error as error:
                    # Not the error's own text: it repeats the statement, and with it the secret.
                    said = [error.diag.message_primary, error.diag.message_detail, error.diag.message_hint]
                    reason = ". ".join(filter(None, said)) or "the connection was lost"
                    raise RefusedError(
                        f"database {database}: {each.text(connection)}\n"
                        f"was refused: {reason} ({error.pgcode}). "
                        "Nothing of this transaction was kept; correct it and run again"
                    ) from None
        connection.commit()
        connection.autocommit = False

    def close(self) -> None:
        """Close every session."""
        for connection in self._open.values():
            connection.close()
