"""A drill: a restore to a moment that nobody chose, into a cluster that is thrown away, and all that proves it."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from toolbox import contents, pgbackrest, smoke, timelines
from toolbox.cluster import Arrival, BeforeConsistencyError, Clone, ClusterError
from toolbox.output import Report, Seconds, size_text, time_text
from toolbox.pgbackrest import Backup
from toolbox.settings import Settings
from toolbox.targets import Target
from toolbox.timelines import Chain, Ways, WindowError, shown

# A heartbeat commits each minute, and within another it is on its way: what is older is in the archive.
ARCHIVED_AFTER = timedelta(seconds=150)
# With --heapallindexed each table is read once more for each of its indexes.
HEAPALLINDEXED_BELOW = 4 * 1024**3
AMCHECK_LINES = 20
CHECKSUMS = "docs/runbooks/checksum-failure.md"
FAILED = "docs/runbooks/drill-failed.md"


@dataclass
class Course:
    """What a drill has found so far."""

    target: Target
    chain: Chain
    ways: Ways
    backups: list[Backup]
    # Whether nobody asked for this moment, so that another one is as good.
    own_choice: bool = False
    began: float = field(default_factory=time.monotonic)
    # What each step took.
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0) + time.monotonic() - began


def clone_of(known: Settings) -> Clone:
    """The cluster that is thrown away. Its port is one that is free: the live cluster may be on the same host."""
    place = known.drill_directory
    return Clone(replace(known, port=smoke.free_port()), place / "data", place / "private")


def clear(known: Settings) -> None:
    """Remove what a drill leaves that was killed, by a power cut too; nothing happens where there is nothing.

    Raises:
        ClusterError: something could not be removed.
    """
    smoke.stop()
    clone_of(known).remove()


def choose(known: Settings, given: Target | None) -> Course:
    """Choose a moment in the window, and the backups that lead to it, unless a target is given.

    Raises:
        WindowError: there is nothing that could be restored, or the target is outside of the window.
        PgbackrestError: the repositories could not be read.
    """
    stanza = pgbackrest.info(known.stanza)
    ways = timelines.read(stanza)
    chain = ways.chains[max(ways.chains)]
    _, last = ways.ends.get(chain.timeline, ("", None))
    window = timelines.window(stanza.backups, chain, last)
    target = given or moment_in(window.first, last)
    window.check(target, datetime.now(UTC))
    backups = timelines.candidates(stanza.backups, chain, target)
    if not backups:
        raise WindowError(f"no backup leads to {target}; {window}")
    return Course(target, chain, ways, backups, own_choice=given is None)


def moment_in(first: datetime | None, last: datetime | None) -> Target:
    """A moment that nobody chose; the end of the archive where the window is still too small for one."""
    if first is None or last is None or last - ARCHIVED_AFTER <= first:
        return Target("latest")
    seconds = random.SystemRandom().uniform(0, (last - ARCHIVED_AFTER - first).total_seconds())
    moment = (first + timedelta(seconds=seconds)).replace(microsecond=0) + timedelta(seconds=1)
    return Target("time", moment.isoformat(sep=" "))


def run(known: Settings, course: Course, report: Report, tell: Callable[[str], None]) -> None:
    """Restore, prove, remove. What is found is in the report, whatever ends it.

    Raises:
        ClusterError, PgbackrestError, OSError: the moment could not be reached.
    """
    clone = clone_of(known)
    try:
        age(known, course, report)
        arrival, backup = restore(clone, course, tell)
        if before_any_table(clone, known, course):
            tell(f"{known.database} had no table yet: going on to the end of the archive")
            clone.remove()
            course.target = Target("latest")
            course.seconds.clear()
            arrival, backup = restore(clone, course, tell)
        reached(known, course, arrival, backup, report)
        with course.step("look"):
            there = look(clone, known, course, report)
        with course.step("api"):
            answers(clone, known, there, report, tell)
        with course.step("amcheck"):
            amcheck(clone, known, there, report, tell)
        with course.step("checksums"):
            checksums(clone, known, report, tell)
    finally:
        with course.step("remove"):
            clear(known)


def age(known: Settings, course: Course, report: Report) -> None:
    """How old the newest WAL is that is not on the database host only, against the RPO."""
    segment, stored = course.ways.ends.get(course.chain.timeline, ("", None))
    if stored is None:
        report.add("critical", "RPO", "no WAL is in the archive", FAILED)
        return
    seconds = max((datetime.now(UTC) - stored).total_seconds(), 0)
    report.facts["wal_age_seconds"] = seconds
    report.metric("bundle_drill_wal_age_seconds", seconds, "Age of the newest archived WAL when it began")
    kept = seconds <= known.rpo_seconds
    report.add(
        "ok" if kept else "critical",
        "RPO",
        f"the newest WAL in the archive, {segment}, is {time_text(seconds)} old; {time_text(known.rpo_seconds)} "
        f"{'are' if kept else 'would be'} allowed",
        "" if kept else "see docs/runbooks/archive-behind.md",
    )


def restore(clone: Clone, course: Course, tell: Callable[[str], None]) -> tuple[Arrival, Backup]:
    """Restore to the target, and let the clone begin to live."""
    with course.step("restore"):
        arrived = recover(clone, course, tell)
    with course.step("promote"):
        clone.promote()
    return arrived


def before_any_table(clone: Clone, known: Settings, course: Course) -> bool:
    """Whether the moment that was chosen proves nothing: the first backup is older than the product's first tables."""
    own_moment = course.own_choice and course.target.kind == "time"
    return own_moment and not contents.look(clone.connect, known.database, known.version_table).rows


def recover(clone: Clone, course: Course, tell: Callable[[str], None]) -> tuple[Arrival, Backup]:
    """Restore the nearest backup and recover to the target; an older one where the target is within the first."""
    last_segment = (
        course.ways.ends[course.chain.timeline][0] if course.chain.timeline in course.ways.ends else ""
    )
    for number, backup in enumerate(course.backups):
        clone.check_space(backup)
        clone.check_tablespaces(backup)
        tell(f"restoring {backup.label} ({size_text(backup.database_bytes)}) to {clone.directory}")
        clone.restore(backup, tell)
        tell(f"recovering to {course.target}")
        clone.start(course.target, timeline=course.chain.timeline)
        try:
            return clone.arrive(course.target, last_segment=last_segment), backup
        except BeforeConsistencyError:
            if number + 1 == len(course.backups):
                raise
            tell(f"{course.target} is within {backup.label}: going on with an older backup")
            clone.remove()
    raise ClusterError("there is no backup to restore")


def reached(known: Settings, course: Course, arrival: Arrival, backup: Backup, report: Report) -> None:
    """Say where it arrived, and how long that took, against the RTO."""
    seconds = course.seconds["restore"] + course.seconds["promote"]
    commit = arrival.last_commit.astimezone(UTC) if arrival.last_commit else None
    last = f"; its last commit is of {shown(commit)}" if commit else ""
    report.add("ok", "moment", f"reached {course.target} from {backup.label}: {arrival.said}{last}")
    report.facts |= {
        "target": str(course.target),
        "backup": backup.label,
        "timeline": course.chain.timeline,
        "lsn": arrival.lsn,
        "last_commit": commit.isoformat() if commit else None,
        "restore_seconds": seconds,
        "bytes": backup.database_bytes,
    }
    report.metric("bundle_drill_restore_seconds", seconds, "Until the restored cluster took sessions")
    report.metric(
        "bundle_drill_database_bytes", backup.database_bytes, "Size of the cluster that was restored"
    )
    kept = seconds <= known.rto_seconds
    report.add(
        "ok" if kept else "critical",
        "RTO",
        f"{size_text(backup.database_bytes)} took sessions after {time_text(seconds)}; {time_text(known.rto_seconds)} "
        "are allowed",
        "" if kept else f"more backup_processes, a faster disk, or backups more often; see {FAILED}",
    )
    if course.target.kind == "time" and commit:
        silent = (course.target.moment - commit).total_seconds()
        report.facts["data_age_seconds"] = silent
        report.metric(
            "bundle_drill_data_age_seconds", silent, "From the last commit that is there to the moment"
        )
        if silent > known.rpo_seconds:
            report.add(
                "warning",
                "data",
                f"the last commit is {time_text(silent)} older than the moment: the database or its heartbeat was off "
                "then, or WAL of that time is missing",
                "bundle-verify-backups says which",
            )


def look(clone: Clone, known: Settings, course: Course, report: Report) -> contents.Contents:
    """Count the rows of every table, and read the schema's revision and the heartbeat."""
    there = contents.look(clone.connect, known.database, known.version_table)
    if not there.rows:
        report.add("critical", "rows", f"there is no database {known.database}, or no table in it", FAILED)
        return there
    total = sum(there.rows.values())
    beat = f"; the last heartbeat is of {shown(there.heartbeat.astimezone(UTC))}" if there.heartbeat else ""
    report.add("ok", "rows", f"{total:,} in {len(there.rows)} tables of {known.database}{beat}")
    report.add("ok", "schema", f"revision {there.revision or 'none'}")
    if there.heartbeat and course.target.kind == "time" and there.heartbeat > course.target.moment:
        report.add("critical", "moment", f"there is a heartbeat of after {course.target}", FAILED)
    report.facts |= {"rows": there.rows, "revision": there.revision}
    report.add_table(f"Rows of {known.database}", ("table", "rows"), sorted(there.rows.items()))
    return there


def answers(
    clone: Clone, known: Settings, there: contents.Contents, report: Report, tell: Callable[[str], None]
) -> None:
    """Let the release that fits the restored schema serve from the clone, and ask it."""
    try:
        release = smoke.find(known, there.revision)
        url = smoke.let_in(clone, known, release)
    except smoke.NoReleaseError as error:
        report.add("warning", "API", f"left out: {error}")
        return
    tell(f"serving with release {release.name} from the restored database")
    clone.stop()
    clone.start(settings=smoke.settings(clone))
    clone.wait_until_it_answers()
    try:
        asked = smoke.ask(known, release, url)
    except smoke.SmokeError as error:
        report.add("critical", "API", str(error), FAILED)
        return
    bad = [one for one in asked if one.status != 200]
    paths = ", ".join(f"{one.path}: {one.status}" for one in bad or asked)
    report.add(
        "critical" if bad else "ok",
        "API",
        f"release {release.name} on the restored database: {paths}",
        f"{bad[0].body[:300]}" if bad else "",
    )
    rows = [(one.path, one.status, Seconds(one.seconds)) for one in asked]
    report.add_table("Answers of the API", ("path", "status", "time"), rows)


def amcheck(
    clone: Clone, known: Settings, there: contents.Contents, report: Report, tell: Callable[[str], None]
) -> None:
    """Look into every table and index."""
    thorough = ["--heapallindexed"] if there.bytes < HEAPALLINDEXED_BELOW else []
    how = "every row found in every index" if thorough else "without looking for every row in every index"
    tell(f"pg_amcheck, {how}")
    words = ["--all", "--install-missing", f"--jobs={known.processes}", "--no-password", *thorough]
    target = [f"--host={clone.private}", f"--port={clone.port}", f"--username={pgbackrest.USER}"]
    done = run_as_postgres(f"{known.bin_directory}/pg_amcheck", *words, *target)
    said = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode == 0:
        report.add("ok", "amcheck", f"tables and indexes of every database are whole ({how})")
        return
    more = f"\n… and {len(said) - AMCHECK_LINES} lines more" if len(said) > AMCHECK_LINES else ""
    report.add("critical", "amcheck", "\n".join(said[:AMCHECK_LINES]) + more, f"see {CHECKSUMS}")


def checksums(clone: Clone, known: Settings, report: Report, tell: Callable[[str], None]) -> None:
    """Compare every page with its checksum."""
    tell("pg_checksums")
    clone.stop()
    done = run_as_postgres(f"{known.bin_directory}/pg_checksums", "--check", f"--pgdata={clone.directory}")
    said = (done.stdout + done.stderr).strip()
    if done.returncode == 0:
        blocks = re.search(r"Blocks scanned: +(\d+)", said)
        report.add("ok", "checksums", f"{int(blocks[1]):,} pages are right" if blocks else said)
    elif "checksums are not enabled" in said:
        report.add("warning", "checksums", "left out: the cluster was made without data checksums")
    else:
        wrong = [line for line in said.splitlines() if "error" in line.lower() or "Bad checksums" in line]
        report.add("critical", "checksums", "\n".join(wrong[:AMCHECK_LINES]) or said, f"see {CHECKSUMS}")


def run_as_postgres(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL's, in English."""
    command = [*pgbackrest.as_user(), "env", "LC_ALL=C.UTF-8", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
