"""A logical dump beside the live database: a database of its own in the same cluster, to take rows from."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from psycopg import sql

from toolbox import dumps, pgbackrest
from toolbox.contents import beside, look
from toolbox.dumps import Dump
from toolbox.live import Live
from toolbox.output import Report
from toolbox.settings import Settings

# What a dump takes when it is restored, in times of its own size: data and indexes uncompressed, and their WAL.
GROWTH = 12
RESERVE_BYTES = 1024**3


class DumpRestoreError(Exception):
    """Nothing was restored; each line of the message is a problem."""


def choose(known: Settings, name: str = "") -> Dump:
    """The newest dump, or the one of a name, if it is as it was written.

    Raises:
        DumpRestoreError: there is none, or it is damaged.
    """
    there = dumps.every(known.dump_directory)
    found = [dump for dump in there if name in ("", dump.path.name)]
    if not found:
        names = ", ".join(dump.path.name for dump in there) or "none"
        wanted = f"dump {name!r} is not" if name else "there is no dump"
        raise DumpRestoreError(
            f"{wanted} in {known.dump_directory}; there are: {names}. {how_to_have_one(known, name)}"
        )
    if wrong := dumps.problems(found[-1]):
        raise DumpRestoreError(
            "\n".join([*wrong, f"{found[-1].path.name} is damaged, and nothing was restored from it"])
        )
    return found[-1]


def how_to_have_one(known: Settings, name: str) -> str:
    """What to do where a dump is not here: dumps are on the host that has the repository."""
    keeper = known.repository_address
    if not keeper:
        return "systemctl start backup@dump makes one"
    place = known.dump_directory
    newest = name or f"$(ssh root@{keeper} 'ls {place} | tail -n 1')"
    return (
        f"Dumps are made and kept on {keeper}. ansible-playbook playbooks/restore.yml brings one by itself. Without a "
        "controller, from a machine that reaches both, bring one here, and do it again: "
        f'ssh root@{keeper} tar -C {place} -c "{newest}" | ssh root@{socket.gethostname()} '
        f"'install -d -m 700 -o {pgbackrest.USER} {place} && tar -C {place} -x'"
    )


def restore(
    known: Settings, live: Live, dump: Dump, tables: Sequence[str], tell: Callable[[str], None]
) -> Report:
    """Restore a dump, or the rows of some of its tables, into a database beside the live one.

    Raises:
        DumpRestoreError: nothing is left of it.
    """
    began = time.monotonic()
    check(known, live, dump, tables)
    side = f"{known.database}_restored_{datetime.now(UTC):%Y%m%dt%H%M%Sz}"
    report = Report(f"{', '.join(tables) or known.database} from the dump {dump.path.name}")
    tell(f"restoring {dump.path.name} into the database {side}")
    with live.connect() as session:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(side))
        session.execute(statement)
        # Rows that were taken back are nobody's yet but the superuser's.
        session.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(side)))
    try:
        fill(known, live, dump, side, tables)
        there = look(live.connect, side, known.version_table)
    except BaseException:
        with live.connect() as session:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(side)))
        raise
    now = look(live.connect, known.database, known.version_table)
    wanted = set(map(qualified, tables)) or there.rows.keys() | now.rows.keys()
    restored = {name: rows for name, rows in there.rows.items() if name in wanted}
    current = {name: rows for name, rows in now.rows.items() if name in wanted}
    report.tables.append(beside(restored, current, f"Rows of {side} and of {known.database}"))
    report.add(
        "ok",
        "restored",
        f"{side}, as of {dump.moment:%Y-%m-%d %H:%M:%S}+00, in {time.monotonic() - began:.1f} s; {known.database} was "
        "not touched",
    )
    for name in sorted(restored):
        if tables or restored[name] > current.get(name, 0):
            report.add(
                "ok", f"to bring rows of {name} back", bring_back(known, live, side, name, name in current)
            )
    report.add("ok", "when it is of no use any more", f"{psql(known, 'postgres')} -c 'DROP DATABASE {side}'")
    report.facts |= {"database": side, "dump": dump.path.name, "rows": restored, "live_rows": current}
    return report


def check(known: Settings, live: Live, dump: Dump, tables: Sequence[str]) -> None:
    """Raise DumpRestoreError with all that is in the way."""
    problems = obstacles(known, live, dump.path.name, dump.bytes)
    problems += unknown(contents(known, dump), dump, tables)
    if problems:
        raise DumpRestoreError("\n".join(problems))


def obstacles(known: Settings, live: Live, name: str, size: int, place: Path | None = None) -> list[str]:
    """What is in the way of a dump of a name and size (bytes).

    `place` is where it is yet to be brought, packed, and to be unpacked.
    """
    problems: list[str] = []
    needed = size * GROWTH
    if not live.answers():
        problems.append(
            f"{live.unit} does not run, and a dump is restored into it: start it, or restore a moment (bundle-restore "
            "prepare), which needs no running cluster"
        )
    else:
        with live.connect() as session:
            row = session.execute(
                "SELECT coalesce(pg_database_size((SELECT oid FROM pg_database WHERE datname = %s)), 0)",
                [known.database],
            ).fetchone()
        needed = max(needed, int(row[0]) * 2 if row else 0)
    if place is not None:
        # Both are there for a moment.
        twice = size * 2
        if place.stat().st_dev == live.directory.stat().st_dev:
            needed += twice
        else:
            problems += short_of_room(place, twice, f"bring {name} here")
    return problems + short_of_room(live.directory, needed, f"restore {name} beside {known.database}")


def short_of_room(directory: Path, needed: int, purpose: str) -> list[str]:
    """A problem where a file system has not `needed` bytes free, and those that nothing may take."""
    free = shutil.disk_usage(directory).free
    if free >= needed + RESERVE_BYTES:
        return []
    return [
        f"{directory} has {free / 1e9:.1f} GB free, and {(needed + RESERVE_BYTES) / 1e9:.1f} GB are needed to {purpose}"
    ]


def contents(known: Settings, dump: Dump) -> dict[str, str]:
    """The tables whose rows are in a dump, with their schemas, and the number by which the file of each is named."""
    found = {}
    for line in run(known, ["pg_restore", "--list", str(dump.path)]).splitlines():
        # 4012; 0 16412 TABLE DATA public jobs intowork_owner
        words = line.split()
        if words[3:5] == ["TABLE", "DATA"]:
            found[f"{words[5]}.{words[6]}"] = words[0].rstrip(";")
    return found


def unknown(there: Collection[str], dump: Dump, tables: Sequence[str]) -> list[str]:
    """A problem where some of the tables are not in a dump."""
    missing = [table for table in tables if qualified(table) not in there]
    if not missing:
        return []
    return [f"{', '.join(missing)}: not in {dump.path.name}; it has {', '.join(sorted(there))}"]


def fill(known: Settings, live: Live, dump: Dump, side: str, tables: Sequence[str]) -> None:
    """Restore all of a dump, or all of its schema and the rows of some tables."""
    target = [f"--host={live.sockets}", f"--port={known.port}", f"--dbname={side}", "--exit-on-error"]
    restore = ["pg_restore", *target, f"--jobs={known.processes}"]
    if not tables:
        run(known, [*restore, str(dump.path)])
        return
    run(known, [*restore, "--section=pre-data", str(dump.path)])
    for name in map(qualified, tables):
        schema, _, table = name.partition(".")
        run(known, [*restore, "--section=data", f"--schema={schema}", f"--table={table}", str(dump.path)])


def qualified(table: str) -> str:
    """A table with its schema."""
    return table if "." in table else f"public.{table}"


def psql(known: Settings, database: str) -> str:
    """The beginning of a command line that a person types as root on this host."""
    return f"runuser -u {pgbackrest.USER} -- psql -X -p {known.port} -d {database}"


def bring_back(known: Settings, live: Live, side: str, table: str, is_there: bool) -> str:
    """What to type to have the rows back that the live table lacks; rows that are there stay as they are."""
    of_side = f"runuser -u {pgbackrest.USER} -- {{}} -p {known.port} -d {side}"
    once = f"{psql(known, known.database)} -v ON_ERROR_STOP=1 --single-transaction"
    if not is_there:
        return f"{of_side.format('pg_dump')} --table={table} | {once}"
    with live.connect(side) as session:
        row = session.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FILTER (WHERE attgenerated = ''),"
            " bool_or(attgenerated <> '') FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [table],
        ).fetchone()
    # Columns that the server computes can be neither copied nor given.
    columns = f" ({row[0]})" if row and row[1] else ""
    taken = " ".join(["SELECT", str(row[0]), "FROM back"]) if row and row[1] else "TABLE back"
    steps = (
        f"CREATE TEMP TABLE back (LIKE {table})",
        f"COPY back{columns} FROM STDIN",
        f"INSERT INTO {table}{columns} OVERRIDING SYSTEM VALUE {taken} ON CONFLICT DO NOTHING",
    )
    copy = f"{of_side.format('psql -X')} -c 'COPY {table}{columns} TO STDOUT'"
    return " ".join([f"{copy} |", once, *(f"-c '{step}'" for step in steps)])


def run(known: Settings, command: list[str]) -> str:
    """Run a program of PostgreSQL's as its superuser; DumpRestoreError with its errors."""
    line = [*pgbackrest.as_user(), f"{known.bin_directory}/{command[0]}", *command[1:]]
    done = subprocess.run(line, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise DumpRestoreError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout
