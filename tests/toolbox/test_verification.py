"""Damage of every kind in a real, encrypted repository: pgBackRest's own verify ends with 0, ours names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from original import STANZA, Original
from toolbox import output, pgbackrest
from verifying import Look, critical, damage


@pytest.fixture(scope="module")
def backed(original: Original) -> tuple[str, str, list[str]]:
    """The labels of a full and a differential backup, and the segments that were archived in between."""
    full = original.back_up("full")
    with original.connect() as session:
        session.execute(
            "CREATE TABLE orders AS SELECT g AS id, repeat('x', 90) AS text FROM generate_series(1, 99999) g"
        )
    segments = [original.archive() for _ in range(4)]
    diff = original.back_up("diff")
    original.archive()
    return full, diff, segments


def own_verify(original: Original) -> str:
    """What pgBackRest's own verify prints at its usual level; it has to end with 0."""
    return pgbackrest.ask(STANZA, "--job-retry=0", "verify")


def test_good_backups_are_found_good(backed: tuple[str, str, list[str]], look: Look) -> None:
    report = look()
    assert report.exit_status == 0, report.text()
    assert "2 can be relied on (every file was read)" in report.text()


def test_damaged_file_of_a_backup_is_named_with_the_backups_that_need_it(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    full, diff, _ = backed
    damage(intact.repository / "backup" / STANZA / full / "bundle" / "1", at=5000)
    said = own_verify(intact)
    assert "status: invalid" in said, "pgBackRest saw it, and ended with 0 all the same"
    report = look()
    assert report.exit_status == 2
    assert f"backup {full}: {full}/pg_data/" in critical(report)
    assert f"{diff} cannot be relied on either" in critical(report)


def test_missing_file_of_a_backup_is_named(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    _, diff, _ = backed
    (file,) = (intact.repository / "backup" / STANZA / diff).glob("pg_data/base/5/*")
    file.unlink()
    own_verify(intact)
    assert f"{diff}/pg_data/base/5/{file.name} is missing" in critical(look())


def test_damaged_wal_segment_is_named(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    file = intact.stored(backed[2][1])
    damage(file)
    own_verify(intact)
    # Which of the two depends on where the damage falls in what was compressed.
    assert re.search(rf"{file.name} (cannot be read: |is not as it was stored)", critical(look()))


def test_missing_wal_segment_is_named_though_pgbackrest_finds_nothing(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    _, diff, segments = backed
    intact.stored(segments[1]).unlink()
    assert "error" not in own_verify(intact)
    report = look()
    assert f"{segments[1]} missing (1 segment): no moment after" in critical(report)
    assert f"before the end of {diff} can be reached" in critical(report)
    assert [
        metric.value for metric in report.metrics if metric.name == "bundle_verify_missing_wal_segments"
    ] == [1]


def test_missing_wal_segment_that_a_backup_itself_needs_makes_it_no_backup(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    full, _, _ = backed
    history = min(intact.repository.glob(f"archive/{STANZA}/*/*/*.backup"))
    intact.stored(history.name[:24]).unlink()
    assert "error" not in own_verify(intact)
    assert f"{full} cannot be restored" in critical(look())


def test_quick_look_finds_a_missing_segment_too(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    intact.stored(backed[2][2]).unlink()
    assert f"{backed[2][2]} missing" in critical(look(quick=True))


def test_backup_without_manifest_is_named_though_pgbackrest_finds_nothing(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    _, diff, _ = backed
    for manifest in (intact.repository / "backup" / STANZA / diff).glob("backup.manifest*"):
        manifest.unlink()
    assert "error" not in own_verify(intact)
    assert f"backup {diff}: has no manifest" in critical(look())


def test_manifest_whose_copies_are_both_damaged_is_named(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    _, diff, _ = backed
    for manifest in (intact.repository / "backup" / STANZA / diff).glob("backup.manifest*"):
        damage(manifest, at=200)
    assert f"backup {diff}: " in critical(look())


@pytest.mark.parametrize("name", ["archive/original/archive.info", "backup/original/backup.info"])
def test_list_with_a_good_copy_is_a_warning(
    backed: tuple[str, str, list[str]], intact: Original, look: Look, name: str
) -> None:
    damage(intact.repository / name)
    assert "error" not in own_verify(intact)
    report = look()
    assert report.exit_status == 1, report.text()
    assert (
        "of the two copies of a list (backup.info, archive.info, a manifest) one is damaged" in report.text()
    )


@pytest.mark.parametrize("name", ["archive/original/archive.info", "backup/original/backup.info"])
def test_list_without_a_good_copy_is_critical(
    backed: tuple[str, str, list[str]], intact: Original, look: Look, name: str
) -> None:
    for copy in ("", ".copy"):
        damage(intact.repository / f"{name}{copy}")
    report = look()
    assert report.exit_status == 2
    assert Path(name).name in critical(report)


def test_empty_file_is_named(backed: tuple[str, str, list[str]], intact: Original, look: Look) -> None:
    file = intact.stored(backed[2][0])
    file.write_bytes(b"")
    assert f"empty: 15-1/{backed[2][0][:16]}/{file.name}" in critical(look(quick=True))


def test_repository_that_is_gone_is_critical(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    intact.repository.rename(intact.home / "away")
    try:
        report = look()
    finally:
        (intact.home / "away").rename(intact.repository)
    assert report.exit_status == 2


def test_verification_that_found_something_keeps_the_moment_of_the_last_good_one(
    backed: tuple[str, str, list[str]], intact: Original, look: Look
) -> None:
    name = "bundle_verify_last_success_timestamp_seconds"
    file = intact.known.metrics_directory / "bundle_verify.prom"

    def figures() -> dict[str, float]:
        return {metric.name: metric.value for metric in output.read_metrics(file)}

    look()
    good = figures()
    intact.stored(backed[2][0]).unlink()
    look()
    assert (figures()["bundle_verify_success"], figures()[name]) == (0, good[name])
