"""A dump on its way from the host that keeps dumps to the one with the cluster: packed there, unpacked here."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from toolbox import dumps, pgbackrest, sidedb
from toolbox.dumps import Dump
from toolbox.live import Live
from toolbox.settings import Settings
from toolbox.sidedb import DumpRestoreError

# What pg_restore reads whatever is restored.
CONTENTS = "toc.dat"


@dataclass(frozen=True)
class Parcel:
    """Files of a dump that are to be packed, by their names; `bytes` is what they take."""

    dump: Dump
    files: list[str]
    bytes: int
    # Where they are packed.
    file: Path


def plan(known: Settings, dump: Dump, tables: Sequence[str]) -> Parcel:
    """Of a dump all files, or those that are needed for the rows of some tables.

    Raises:
        DumpRestoreError: it has no such table, or there is no room to pack it.
    """
    files = dumps.sums(dump)
    if tables:
        there = sidedb.contents(known, dump)
        if unknown := sidedb.unknown(there, dump, tables):
            raise DumpRestoreError("\n".join(unknown))
        # 4012.dat, or 4012.dat.gz.
        wanted = {there[sidedb.qualified(table)] for table in tables}
        files = {
            name: digest
            for name, digest in files.items()
            if name == CONTENTS or name.partition(".")[0] in wanted
        }
    size = sum((dump.path / name).stat().st_size for name in files)
    if short := sidedb.short_of_room(known.dump_directory, size, f"pack {dump.path.name}"):
        raise DumpRestoreError("\n".join(short))
    return Parcel(dump, sorted(files), size, outgoing(known) / f"{dump.path.name}.tar")


def pack(known: Settings, parcel: Parcel) -> None:
    """Make one file of them and of their checksums, which only the dumps' owner can read."""
    forget(outgoing(known))
    parcel.file.parent.mkdir(mode=0o700)
    name, sums = parcel.dump.path.name, dumps.sums(parcel.dump)
    try:
        with tarfile.open(parcel.file, "w") as archive:
            for file in parcel.files:
                archive.add(parcel.dump.path / file, f"{name}/{file}")
            # Those of the dump, not new ones: what was damaged since must not be taken for whole.
            text = dumps.sums_text({file: sums[file] for file in parcel.files}).encode()
            entry = tarfile.TarInfo(f"{name}/{dumps.SUMS}")
            entry.size, entry.mode = len(text), 0o600
            archive.addfile(entry, io.BytesIO(text))
    except BaseException:
        forget(parcel.file.parent)
        raise


def expect(known: Settings, live: Live, name: str, size: int, *, dry_run: bool) -> Path:
    """See that there is room for a dump of a name and size (bytes), make the place for it; returns the file's path.

    Raises:
        DumpRestoreError: it is no name of a dump, or there is no room, or no cluster to restore it into.
    """
    if not dumps.NAME.fullmatch(name) or Path(name).name != name:
        raise DumpRestoreError(f"{name!r} is no name of a dump; one is {known.database}_20260106T023000Z")
    # What a run has left that was killed.
    if not dry_run:
        forget(incoming(known))
    if problems := sidedb.obstacles(known, live, name, size, known.state_directory):
        raise DumpRestoreError("\n".join(problems))
    place = incoming(known)
    if not dry_run:
        place.mkdir(mode=0o700)
        shutil.chown(place, pgbackrest.USER, pgbackrest.USER)
    return place / f"{name}.tar"


@contextmanager
def unpacked(known: Settings, name: str) -> Iterator[Dump]:
    """The dump that was brought, if it is as it was written. It is gone after the block, however that ends.

    Raises:
        DumpRestoreError: it was not brought, or is damaged.
    """
    place = incoming(known)
    try:
        file = place / f"{name}.tar"
        if not file.is_file():
            raise DumpRestoreError(
                f"{file} is not there: ansible-playbook playbooks/restore.yml brings a dump from the host that keeps it"
            )
        # As the cluster's superuser: what another host has packed writes nowhere else.
        command = ["tar", "--extract", f"--file={file}", f"--directory={place}"]
        done = subprocess.run(
            [*pgbackrest.as_user(), *command], check=False, capture_output=True, text=True, cwd="/"
        )
        if done.returncode:
            raise DumpRestoreError(f"{file} cannot be unpacked: {done.stderr.strip()}")
        file.unlink()
        yield sidedb.choose(replace(known, dump_directory=place), name)
    finally:
        forget(place)


def outgoing(known: Settings) -> Path:
    """Where a dump is packed, on the host that keeps it."""
    return known.dump_directory / ".outgoing"


def incoming(known: Settings) -> Path:
    """Where a dump is brought to, on the host with the cluster."""
    return known.state_directory / "brought"


def forget(place: Path) -> None:
    """Remove what is there, if anything is."""
    if place.exists():
        shutil.rmtree(place)
