"""Logical dumps: made, checked and kept for a time. Each is a directory of pg_dump's directory format."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from toolbox import pgbackrest
from toolbox.settings import Settings

SUMS = "SHA256SUMS"
NAME = re.compile(r"(?P<database>.+)_(?P<moment>\d{8}T\d{6}Z)")
FORM = "%Y%m%dT%H%M%SZ"
SOCKET = "/var/run/postgresql"


class DumpError(Exception):
    """A dump could not be made, or is not whole; the message says why."""


@dataclass(frozen=True)
class Dump:
    """A dump that is whole. Sizes in bytes: its own, and that of the database when it was made."""

    path: Path
    moment: datetime
    bytes: int
    database_bytes: int = 0


def make(known: Settings, tell: Callable[[str], None]) -> Dump:
    """Dump the database, check the dump, give it its name, and remove those whose time is over.

    Raises:
        DumpError: it could not be made or read back. No earlier dump is touched then.
    """
    moment = datetime.now(UTC).replace(microsecond=0)
    place = known.dump_directory / f"{known.database}_{moment:{FORM}}"
    unfinished = place.with_name(f".{place.name}.new")
    for leftover in known.dump_directory.glob(".*.new"):
        shutil.rmtree(leftover)
    tell(f"dumping {known.database} to {place}")
    size = int(_run(known, ["psql", "-XAt", "-c", f"SELECT pg_database_size('{known.database}')"]))
    try:
        _run(known, ["pg_dump", "--format=directory", f"--jobs={known.processes}", f"--file={unfinished}"])
        # Reads every file of it to its end, as a restore would, and so finds one that cannot be read back.
        _run(known, ["pg_restore", "--file=/dev/null", str(unfinished)], connects=False)
        write_sums(unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    unfinished.rename(place)
    for old in expired(every(known.dump_directory), moment, timedelta(days=known.dump_retention_days)):
        tell(f"removing {old.path.name}: older than {known.dump_retention_days} days")
        shutil.rmtree(old.path)
    return Dump(place, moment, _bytes(place), size)


def every(directory: Path) -> list[Dump]:
    """The dumps of a directory, the oldest first; what has no sums is not finished, and no dump."""
    found = []
    for path in directory.iterdir() if directory.is_dir() else []:
        match = NAME.fullmatch(path.name)
        if match and (path / SUMS).is_file():
            found.append(
                Dump(path, datetime.strptime(match["moment"], FORM).replace(tzinfo=UTC), _bytes(path))
            )
    return sorted(found, key=lambda dump: dump.moment)


def expired(dumps: list[Dump], now: datetime, keep: timedelta) -> list[Dump]:
    """Those older than `keep`, but never the newest: a job that fails for long must not end with none."""
    return [dump for dump in dumps[:-1] if now - dump.moment > keep]


def write_sums(directory: Path) -> None:
    """Write the checksums of all files of a dump, in the form of sha256sum."""
    found = {path.name: _sum(path) for path in sorted(directory.iterdir())}
    (directory / SUMS).write_text(sums_text(found))


def sums_text(found: dict[str, str]) -> str:
    """Checksums by the names of their files, in the form of sha256sum."""
    return "".join(f"{digest}  {name}\n" for name, digest in found.items())


def sums(dump: Dump) -> dict[str, str]:
    """The checksums of a dump's files by their names, as they were written."""
    lines = (dump.path / SUMS).read_text().splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def problems(dump: Dump) -> list[str]:
    """What is wrong with a dump: files that are missing, or that are not as they were written."""
    found = []
    for name, wanted in sums(dump).items():
        path = dump.path / name
        if not path.is_file():
            found.append(f"{path} is missing")
        elif _sum(path) != wanted:
            found.append(f"{path} is not as it was written")
    return found


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def _conninfo(known: Settings) -> str:
    """libpq's words for the way to the database: the socket, or TLS from a repository host of its own."""
    if not known.database_address:
        return f"host={SOCKET} port={known.port} dbname={known.database}"
    return (
        f"host={known.database_address} port={known.port} dbname={known.database} user={known.database_user} "
        f"sslmode=require passfile={known.password_file} connect_timeout=30"
    )


def _run(known: Settings, words: list[str], *, connects: bool = True) -> str:
    target = [f"--dbname={_conninfo(known)}"] if connects else []
    command = [*pgbackrest.as_user(), words[0], *target, *words[1:]]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode:
        raise DumpError(f"{words[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
