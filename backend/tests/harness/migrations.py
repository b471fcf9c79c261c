"""Alembic on a test database, as the migrator, and what of the schema can be compared."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from harness.cluster import Database

BACKEND = Path(__file__).resolve().parents[2]
# From here on the tables may be in use.
FIRST_ONLINE = "h8c2d6e5f4g3"


def config(output: io.StringIO | None = None) -> Config:
    """The project's configuration, usable from any directory."""
    made = Config(str(BACKEND / "alembic.ini"), output_buffer=output)
    made.set_main_option("script_location", str(BACKEND / "alembic"))
    made.attributes["configure_logger"] = False
    return made


def revisions() -> list[str]:
    """All revisions, the oldest first."""
    return [script.revision for script in reversed([*ScriptDirectory.from_config(config()).walk_revisions()])]


def parent_of(revision: str) -> str:
    """The revision before `revision`, or base."""
    before = revisions()[: revisions().index(revision)]
    return before[-1] if before else "base"


def online_revisions() -> list[str]:
    """The revisions that may find the tables in use, the oldest first."""
    return revisions()[revisions().index(FIRST_ONLINE) :]


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database up to `revision`; base is where it is without any."""
    if revision != "base":
        with patch.dict(os.environ, DATABASE_URL=database.url("migrator")):
            command.upgrade(config(), revision)


def downgrade(database: Database, revision: str) -> None:
    """Bring the database down to `revision`."""
    with patch.dict(os.environ, DATABASE_URL=database.url("migrator")):
        command.downgrade(config(), revision)


def migrator(database: Database, options: str = "") -> sqlalchemy.Engine:
    """An engine such as alembic makes for itself, for `migrate`; `options` are libpq's: -c name=value."""
    return sqlalchemy.create_engine(
        database.url("migrator"),
        poolclass=sqlalchemy.NullPool,
        connect_args={"options": options} if options else {},
    )


def migrate(engine: sqlalchemy.Engine, direction: str, revision: str) -> None:
    """Bring the database of `engine` to `revision`; `direction` is upgrade or downgrade."""
    made = config()
    made.attributes["connection"] = engine
    getattr(command, direction)(made, revision)


def rendered(direction: str, span: str) -> str:
    """The SQL of a span (from:to) without a database; `direction` is upgrade or downgrade."""
    output = io.StringIO()
    getattr(command, direction)(config(output), span, sql=True)
    return output.getvalue()


def current(database: Database) -> str | None:
    """The revision that the database is at."""
    rows = database.rows("SELECT version_num FROM alembic_version")
    return rows[0][0] if rows else None


def dump(database: Database) -> str:
    """The schema as pg_dump writes it, without its random \\restrict lines and alembic's own table."""
    user, password = database.cluster.login("superuser")
    done = subprocess.run(
        ["pg_dump", "--schema-only", "--exclude-table=alembic_version", "-U", user, database.name],
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(
        line for line in done.stdout.splitlines() if not line.startswith((r"\restrict", r"\unrestrict"))
    )


def module(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m NAME` in backend/ with nothing in the environment but PATH and `variables`."""
    return subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=BACKEND,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def catalog(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Columns, constraints and indexes of the schema public as PostgreSQL understands them."""
    mine = "relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
    return {
        "columns": database.rows(
            f"""SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
                pg_get_expr(adbin, adrelid)
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid
                AND adnum = attnum
            WHERE {mine} AND relkind = 'r' AND attnum > 0 AND NOT attisdropped ORDER BY 1, 2"""
        ),
        "constraints": database.rows(
            f"""SELECT relname, conname, pg_get_constraintdef(k.oid), convalidated
            FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE {mine} ORDER BY 1, 2"""
        ),
        "indexes": database.rows(
            """SELECT c.relname, pg_get_indexdef(indexrelid), indisvalid
            FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
            WHERE c.relnamespace = 'public'::regnamespace AND t.relkind = 'r'
                AND t.relname <> 'alembic_version' ORDER BY 1"""
        ),
    }
