"""A dump goes from the host that keeps it to the one with the cluster: what is needed, checked, and gone again."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from original import Original
from toolbox import dumps, parcel, sidedb
from toolbox.dumps import Dump
from toolbox.live import Live
from toolbox.settings import Settings
from toolbox.sidedb import DumpRestoreError

SIDES = "SELECT datname FROM pg_database WHERE datname LIKE 'product_restored_%'"
# More than any disk has.
MUCH = 10**18


def silent(_line: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def dump(original: Original) -> Iterator[Dump]:
    """A dump of two tables, one with rows that the live one has lost since."""
    with original.connect("product") as session:
        session.execute("CREATE TABLE others AS SELECT generate_series(1, 1000) AS id")
        session.execute("INSERT INTO notes (text) VALUES ('one'), ('two')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dumps, "SOCKET", str(original.home / "socket"))
        yield dumps.make(original.known, silent)


@pytest.fixture
def keeper(original: Original, dump: Dump) -> Iterator[Settings]:
    """The host that keeps the dump; nothing is packed there."""
    known = replace(original.known, parts=["repository"])
    yield known
    parcel.forget(parcel.outgoing(known))


@pytest.fixture
def host(original: Original) -> Iterator[Settings]:
    """The host with the cluster, without dumps of its own."""
    known = replace(
        original.known,
        parts=["database"],
        repository_address="10.87.2.40",
        dump_directory=original.home / "x",
    )
    yield known
    parcel.forget(parcel.incoming(known))
    with original.connect() as session:
        for (name,) in session.execute(SIDES).fetchall():
            session.execute(f"DROP DATABASE {name}")


@pytest.fixture
def live(original: Original, host: Settings) -> Live:
    """Its cluster."""
    return Live(host, original.home / "socket")


def sides(original: Original) -> list[str]:
    """The databases that were restored beside the live one."""
    with original.connect() as session:
        return [name for (name,) in session.execute(SIDES).fetchall()]


def packed(keeper: Settings, dump: Dump, *tables: str) -> parcel.Parcel:
    """A packed dump."""
    planned = parcel.plan(keeper, dump, tables)
    parcel.pack(keeper, planned)
    return planned


def bring(found: parcel.Parcel, host: Settings, live: Live) -> Path:
    """Bring it as the playbook does."""
    file = parcel.expect(host, live, found.dump.path.name, found.bytes, dry_run=False)
    file.write_bytes(found.file.read_bytes())
    file.chmod(0o644)
    return file


def test_parcel_of_a_table_has_its_rows_and_no_other_s(keeper: Settings, dump: Dump) -> None:
    found = packed(keeper, dump, "notes")
    number = sidedb.contents(keeper, dump)["public.notes"]
    assert found.files == [f"{number}.dat.gz", "toc.dat"]
    with tarfile.open(found.file) as archive:
        names = [f"{dump.path.name}/{name}" for name in (*found.files, dumps.SUMS)]
        assert archive.getnames() == names


def test_parcel_of_the_database_has_every_file(keeper: Settings, dump: Dump) -> None:
    found = packed(keeper, dump)
    with tarfile.open(found.file) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    assert there == {path.name for path in dump.path.iterdir()}


def test_table_that_the_dump_lacks_is_refused_with_those_that_it_has(keeper: Settings, dump: Dump) -> None:
    with pytest.raises(DumpRestoreError) as refused:
        parcel.plan(keeper, dump, ["unheard_of"])
    assert f"unheard_of: not in {dump.path.name}; it has public.notes, public.others" in str(refused.value)
    assert not parcel.outgoing(keeper).exists()


@pytest.mark.parametrize("tables", [["notes"], ["public.notes", "others"], []], ids=["one", "two", "all"])
def test_rows_are_back_beside_the_live_database_and_the_parcel_is_gone(
    keeper: Settings, host: Settings, live: Live, original: Original, dump: Dump, tables: list[str]
) -> None:
    bring(packed(keeper, dump, *tables), host, live)
    with original.connect("product") as session:
        session.execute("DELETE FROM notes")
    with parcel.unpacked(host, dump.path.name) as brought:
        report = sidedb.restore(host, live, brought, tables, silent)
    with original.connect(report.facts["database"]) as session:
        assert session.execute("SELECT text FROM notes ORDER BY id").fetchall() == [("one",), ("two",)]
    assert not parcel.incoming(host).exists()


def test_parcel_that_was_damaged_on_its_way_restores_nothing_and_is_gone(
    keeper: Settings, host: Settings, live: Live, original: Original, dump: Dump
) -> None:
    file = bring(packed(keeper, dump, "others"), host, live)
    with tarfile.open(file) as archive:
        (place,) = [one.offset_data for one in archive if one.name.endswith(".dat.gz")]
    with file.open("r+b") as there:
        there.seek(place + 20)
        byte = there.read(1)[0]
        there.seek(place + 20)
        there.write(bytes([byte ^ 1]))
    with (
        pytest.raises(DumpRestoreError, match=r"\.dat\.gz is not as it was written"),
        parcel.unpacked(host, dump.path.name),
    ):
        pytest.fail("it was taken for whole")
    assert sides(original) == []
    assert not parcel.incoming(host).exists()


def test_parcel_of_which_the_end_is_missing_is_said_not_to_be_unpacked(
    keeper: Settings, host: Settings, live: Live, dump: Dump
) -> None:
    file = bring(packed(keeper, dump), host, live)
    with file.open("r+b") as there:
        there.truncate(700)
    with (
        pytest.raises(DumpRestoreError, match="cannot be unpacked: tar: Unexpected EOF"),
        parcel.unpacked(host, dump.path.name),
    ):
        pytest.fail("it was taken for whole")
    assert not parcel.incoming(host).exists()


def test_parcel_is_gone_when_the_restore_fails(
    keeper: Settings, host: Settings, live: Live, dump: Dump
) -> None:
    bring(packed(keeper, dump, "notes"), host, live)
    with (
        pytest.raises(DumpRestoreError, match=r"pg_restore failed"),
        parcel.unpacked(host, dump.path.name) as brought,
    ):
        # Of another table than was brought.
        sidedb.restore(host, live, brought, ["others"], silent)
    assert not parcel.incoming(host).exists()


def test_nobody_else_may_read_it_on_either_host(
    keeper: Settings, host: Settings, live: Live, dump: Dump
) -> None:
    file = bring(packed(keeper, dump), host, live)
    modes = {place.stat().st_mode & 0o777 for place in (parcel.outgoing(keeper), file.parent)}
    assert modes == {0o700}


def test_disk_without_room_is_refused_with_what_is_needed_before_anything_is_brought(
    host: Settings, live: Live
) -> None:
    with pytest.raises(DumpRestoreError, match=r"GB free, and .* GB are needed to restore product_"):
        parcel.expect(host, live, "product_20260106T023000Z", MUCH, dry_run=False)
    assert not parcel.incoming(host).exists()


def test_dry_run_makes_no_place(host: Settings, live: Live) -> None:
    parcel.expect(host, live, "product_20260106T023000Z", 1000, dry_run=True)
    assert not parcel.incoming(host).exists()


@pytest.mark.parametrize("name", ["product", "../product_20260106T023000Z", "/product_20260106T023000Z"])
def test_name_of_no_dump_is_refused_with_what_one_is_like(host: Settings, live: Live, name: str) -> None:
    with pytest.raises(DumpRestoreError, match="is no name of a dump; one is product_20260106T023000Z"):
        parcel.expect(host, live, name, 1000, dry_run=False)


def test_what_a_killed_run_has_left_goes_with_the_next(
    keeper: Settings, host: Settings, live: Live, dump: Dump
) -> None:
    packed(keeper, dump)
    (parcel.outgoing(keeper) / "left").write_text("rows")
    file = bring(packed(keeper, dump), host, live)
    assert [path.name for path in parcel.outgoing(keeper).iterdir()] == [file.name]
    (file.parent / "left").write_text("rows")
    again = parcel.expect(host, live, dump.path.name, 1000, dry_run=False)
    assert list(again.parent.iterdir()) == []


def test_parcel_that_was_not_brought_is_said_not_to_be_there(host: Settings) -> None:
    with (
        pytest.raises(
            DumpRestoreError, match=r"is not there: ansible-playbook playbooks/restore\.yml brings"
        ),
        parcel.unpacked(host, "product_20260106T023000Z"),
    ):
        pytest.fail("there is nothing")
