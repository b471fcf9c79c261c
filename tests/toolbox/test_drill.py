"""Drills from a real repository: what they prove, what they find, and that nothing is left or changed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import drill as drill_command
import pytest
from original import STANZA, Original
from toolbox import drilling, output, pgbackrest, smoke
from toolbox.cluster import Arrival
from toolbox.drill_report import KEEP, keep, page
from toolbox.output import Report
from toolbox.targets import Target
from verifying import critical, damage

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """A drill that was made: its report, and the repository before and after it."""

    label: str
    report: Report
    before: str
    after: str


@pytest.fixture(scope="module")
def label(original: Original) -> str:
    """A full backup, and WAL after it; the window is too young for a moment, so drills go to its end."""
    with original.connect("product") as session:
        session.execute("INSERT INTO notes (text) SELECT 'x' FROM generate_series(1, 1000)")
    made = original.back_up("full")
    original.note("after the backup")
    original.archive()
    return made


def listing(original: Original) -> str:
    """Every file of the repository, with its size, time and checksum."""
    find = "find . -type f -printf '%p %s %T@\\n' -exec sha256sum {} +"
    done = subprocess.run(
        ["sh", "-c", f"{find} | sort"], cwd=original.repository, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def made(original: Original, label: str) -> Made:
    """A drill as bundle-drill makes it."""
    before = listing(original)
    return Made(label, drill(original), before, listing(original))


@pytest.fixture(scope="module")
def damaged(original: Original, made: Made) -> Iterator[Report]:
    """What the two checks say of a restored cluster in whose index a byte was changed."""
    clone, report = drilling.clone_of(original.known), Report("Restore drill")
    course = drilling.choose(original.known, None)
    try:
        drilling.recover(clone, course, ignore)
        clone.promote()
        there = drilling.look(clone, original.known, course, report)
        with clone.connect("product") as session:
            row = session.execute("SELECT pg_relation_filepath('notes_pkey')").fetchone()
        assert row
        clone.stop()
        # Among the entries of the index's first leaf.
        damage(clone.directory / row[0], at=8192 + 8000)
        clone.start()
        clone.wait_until_it_answers()
        drilling.amcheck(clone, original.known, there, report, ignore)
        drilling.checksums(clone, original.known, report, ignore)
        yield report
    finally:
        drilling.clear(original.known)


def drill(original: Original) -> Report:
    """Make a drill as bundle-drill does."""
    report = Report("Restore drill")
    drill_command.drill(original.known, None, report)
    return report


def ignore(_line: str) -> None:
    """What it says as it goes is not looked at."""


def levels(report: Report) -> dict[str, str]:
    """The level of each finding by its subject."""
    return {finding.subject: finding.level for finding in report.findings}


def figures(original: Original) -> dict[str, float]:
    """The figures of the last drill."""
    path = original.known.metrics_directory / "bundle_drill.prom"
    return {metric.name: metric.value for metric in output.read_metrics(path)}


def test_drill_restores_what_was_written_after_the_backup_and_says_so(made: Made) -> None:
    assert made.report.exit_status == 1, made.report.text()  # there is no release here
    assert made.report.facts["rows"]["public.notes"] == 1002
    assert made.report.facts["backup"] == made.label
    found = levels(made.report)
    assert {found[name] for name in ("moment", "RTO", "RPO", "rows", "amcheck", "checksums")} == {"ok"}


def test_drill_says_that_the_api_was_left_out_where_no_release_is(made: Made) -> None:
    (finding,) = (finding for finding in made.report.findings if finding.subject == "API")
    assert finding.level == "warning"
    assert finding.message.startswith("left out: no release is on this host")


def test_clone_of_a_drill_changes_no_byte_of_the_repository(made: Made) -> None:
    assert made.before == made.after


def test_drill_leaves_nothing_but_its_report_and_figures(original: Original, made: Made) -> None:
    assert list(original.known.drill_directory.iterdir()) == []
    assert {".html", ".json"} == {path.suffix for path in original.known.drill_reports.iterdir()}


def test_drill_that_finds_a_damaged_backup_fails_and_keeps_the_moment_of_the_last_good_one(
    made: Made, intact: Original
) -> None:
    good = figures(intact)
    assert good["bundle_drill_success"] == 1
    assert good["bundle_drill_last_success_timestamp_seconds"] == good["bundle_drill_timestamp_seconds"]
    damage(intact.repository / "backup" / STANZA / made.label / "bundle" / "1", at=5000)
    report = drill(intact)
    assert report.exit_status == 2
    assert "failed: " in critical(report)
    bad, name = figures(intact), "bundle_drill_last_success_timestamp_seconds"
    assert (bad["bundle_drill_success"], bad[name]) == (0, good[name])
    assert list(intact.known.drill_directory.iterdir()) == []


def test_drill_that_finds_no_backup_says_so(made: Made, intact: Original) -> None:
    for path in (intact.repository / "backup" / STANZA).glob("backup.info*"):
        path.unlink()
    assert "failed: " in critical(drill(intact))


def test_what_a_killed_drill_left_is_removed_before_the_next(original: Original, made: Made) -> None:
    left = drilling.clone_of(original.known)
    left.restore(pgbackrest.info(STANZA).backups[0], ignore)
    left.start(Target("latest"))
    assert left.is_running()
    drilling.clear(original.known)
    assert not left.is_running()
    assert list(original.known.drill_directory.iterdir()) == []


@pytest.mark.parametrize("check", ["amcheck", "checksums"])
def test_changed_page_of_the_restored_cluster_is_found(damaged: Report, check: str) -> None:
    assert levels(damaged)[check] == "critical", damaged.text()


def test_restore_that_takes_longer_than_promised_is_critical(original: Original, made: Made) -> None:
    report, course = Report("Restore drill"), drilling.choose(original.known, None)
    course.seconds = {"restore": 800, "promote": 101}
    arrival = Arrival("recovery has replayed all of the archive", "0/1", None)
    drilling.reached(original.known, course, arrival, course.backups[0], report)
    assert levels(report)["RTO"] == "critical"


def test_archive_that_is_older_than_promised_is_critical(original: Original, made: Made) -> None:
    known, report = replace(original.known, rpo_seconds=0), Report("Restore drill")
    drilling.age(known, drilling.choose(known, None), report)
    assert levels(report)["RPO"] == "critical"


def test_moment_is_within_the_window_and_not_always_the_same() -> None:
    first, last = NOON - timedelta(days=7), NOON
    moments = {drilling.moment_in(first, last).moment for _ in range(50)}
    assert len(moments) > 1
    assert all(first < moment <= last - drilling.ARCHIVED_AFTER + timedelta(seconds=1) for moment in moments)


@pytest.mark.parametrize("first", [NOON, NOON - timedelta(seconds=149), None])
def test_window_that_is_too_young_for_a_moment_is_restored_to_its_end(first: datetime | None) -> None:
    assert drilling.moment_in(first, NOON) == Target("latest")


@pytest.mark.parametrize("own_choice", [True, False])
def test_moment_from_before_the_first_table_is_exchanged_for_the_end_where_nobody_asked_for_it(
    original: Original, made: Made, own_choice: bool
) -> None:
    """The first run makes its first backup before the first migration."""
    known, report = replace(original.known, database=f"late_{own_choice}".lower()), Report("Restore drill")
    target = Target("time", original.moment().isoformat(sep=" "))
    with original.connect("postgres") as session:
        session.execute(f"CREATE DATABASE {known.database}")
    with original.connect(known.database) as session:
        session.execute("CREATE TABLE rows (number integer)")
    original.archive()
    course = replace(drilling.choose(known, None), target=target, own_choice=own_choice)
    drilling.clear(known)
    drilling.run(known, course, report, ignore)
    assert levels(report)["rows"] == ("ok" if own_choice else "critical"), report.text()
    assert report.facts["target"] == str(Target("latest") if own_choice else target)


def release(root: Path, name: str, heads: list[str]) -> None:
    """A release on this host."""
    path = root / "releases" / name
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps({"id": name, "alembic_heads": heads}))


def test_release_that_belongs_to_the_restored_schema_is_taken(original: Original, tmp_path: Path) -> None:
    known = replace(original.known, drill_releases=tmp_path, name="shop")
    for name, heads in {"new": ["b2"], "old": ["a1"]}.items():
        release(tmp_path, name, heads)
    (tmp_path / "blue").symlink_to("releases/new")
    (tmp_path / "current").symlink_to("blue")
    assert smoke.find(known, "b2").path == tmp_path / "releases" / "new"
    assert smoke.find(known, "a1").path == tmp_path / "releases" / "old"
    assert smoke.find(known, "a1").environment == Path("/etc/shop/blue.env")
    with pytest.raises(smoke.NoReleaseError, match="revision c3, and no release on this host belongs to it"):
        smoke.find(known, "c3")


def found(level: str = "ok") -> Report:
    """A report with something in it that is no HTML."""
    report = Report("Restore drill of shop", facts={"began": "2026-01-06T12:00:00+00:00"})
    report.add("ok", "rows", "5 in <table> & more")
    report.add(level, "amcheck", "as found")
    report.add_table("Rows of shop", ("table", "rows"), [("public.jobs", 1234567)])
    return report


def test_page_escapes_what_was_found_and_shows_the_worst_first() -> None:
    text = page(found("critical"))
    assert "5 in &lt;table&gt; &amp; more" in text
    assert text.index("amcheck") < text.index("5 in")
    assert "1,234,567" in text
    assert "failed" in text


def test_newest_reports_are_kept(tmp_path: Path) -> None:
    for number in range(KEEP + 3):
        keep(tmp_path, found(), NOON + timedelta(days=number))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2 * KEEP
    assert names[0] == f"drill-{NOON + timedelta(days=3):%Y%m%dT%H%M%SZ}.html"
