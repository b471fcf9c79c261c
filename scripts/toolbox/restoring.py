"""A restore up to the decision: all that can be wrong is found, and a clone comes to its target beside the live one."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from toolbox import journal, pgbackrest, timelines, wal
from toolbox.cluster import Arrival, BeforeConsistencyError, Clone, ClusterError
from toolbox.contents import Contents, beside, look
from toolbox.journal import Journal
from toolbox.live import Live, LiveError
from toolbox.output import Report, Table
from toolbox.pgbackrest import Backup, Stanza
from toolbox.segments import SEGMENT_BYTES, Segment
from toolbox.settings import Settings
from toolbox.targets import Target, lsn_bytes
from toolbox.timelines import Chain, Ways, Window, WindowError, shown

UNIT = "bundle-restored"
POINTS = "restore-points.jsonl"
# Beyond these a table of transactions tells no more; and how much WAL after the target is looked at for them.
TRANSACTIONS_BESIDE = 3
SEGMENTS_AFTER = 3
# A heartbeat commits each minute: where none is near, the target is in a gap.
GAP = timedelta(minutes=5)


class RestoreError(Exception):
    """The restore is not begun, or is given up; each line of the message is a problem."""


@dataclass(frozen=True)
class Place:
    """Where the clone and the journal of a restore are."""

    known: Settings
    live: Live

    @property
    def state(self) -> Path:
        """Directory of the journal."""
        return self.known.state_directory

    @property
    def directory(self) -> Path:
        """The restored data: beside the live one, so that a rename exchanges them."""
        return self.live.directory.with_name(f"{self.live.directory.name}.restored")

    def clone(self) -> Clone:
        """The clone."""
        return Clone(self.known, self.directory, self.state / "restored", UNIT)


@dataclass(frozen=True)
class Archive:
    """What the repositories have."""

    stanza: Stanza
    ways: Ways

    # The one that the live cluster is on; the newest where it is lost.
    current: int

    def chain(self, timeline: int) -> Chain:
        """A timeline, or the current one for 0; RestoreError where there is none of this number."""
        if timeline and timeline not in self.ways.chains:
            there = ", ".join(map(str, sorted(self.ways.chains)))
            raise RestoreError(f"timeline {timeline} is not in the archive; there are: {there}")
        return self.ways.chains[timeline or self.current]

    def last_segment(self, timeline: int) -> str:
        """The last WAL segment of a timeline; empty where it has none yet."""
        return self.ways.ends[timeline][0] if timeline in self.ways.ends else ""

    def last_came(self, timeline: int) -> datetime | None:
        """When it came."""
        return self.ways.ends[timeline][1] if timeline in self.ways.ends else None


def read_archive(live: Live) -> Archive:
    """Ask the repositories.

    Raises:
        RestoreError: there is nothing to restore from, or it cannot be read.
    """
    try:
        stanza = pgbackrest.info(live.known.stanza)
        if not stanza.backups:
            said = "; ".join(f"repository {one.key}: {one.message}" for one in stanza.repositories)
            raise RestoreError(unreadable(said or stanza.message))
        ways = timelines.read(stanza)
        # Not always the newest: somebody may have put a directory back that a switch had kept.
        of_live = live.timeline() if live.system_identifier() == stanza.system_identifier else 0
        return Archive(stanza, ways, of_live if of_live in ways.chains else max(ways.chains))
    except pgbackrest.PgbackrestError as error:
        raise RestoreError(unreadable(str(error))) from error


def unreadable(said: str) -> str:
    """pgBackRest's error, with what it most often means."""
    # What a wrong passphrase makes of a file is noise, which pgBackRest prints; its first line is enough.
    first = "".join(letter for letter in said.partition("\n")[0] if letter.isprintable())
    if "CryptoError" in said or "FormatError" in said:
        return (
            "the repository cannot be read with this passphrase (backup_passphrase, in the vault of the inventory): it "
            f"has to be the one that it was made with. Or it is damaged; pgBackRest said: {first}"
        )
    return f"the repository cannot be read: {first}"


def the_window(live: Live, archive: Archive, timeline: int = 0) -> Window:
    """From when to when a timeline can be restored."""
    chain = archive.chain(timeline)
    goes_on = live.answers() and is_of_stanza(live, archive) and chain.timeline == archive.current
    last = None if goes_on else archive.last_came(chain.timeline)
    return timelines.window(archive.stanza.backups, chain, last)


def is_of_stanza(live: Live, archive: Archive) -> bool:
    """Whether the cluster that is there is the one that the backups are of."""
    return live.system_identifier() == archive.stanza.system_identifier


@dataclass(frozen=True)
class Plan:
    """What a restore would do."""

    target: Target
    chain: Chain
    backups: list[Backup]
    window: Window
    archive: Archive


def plan(place: Place, target: Target, chosen: str = "") -> Plan:
    """Find all that is wrong before anything is touched.

    Raises:
        RestoreError: with every problem, a line each.
    """
    live = place.live
    problems: list[str] = []
    archive = read_archive(place.live)
    chain = archive.chain(target.timeline)
    window = the_window(live, archive, chain.timeline)
    try:
        window.check(target, datetime.now(UTC))
    except WindowError as error:
        problems.append(str(error))
    backups: list[Backup] = []
    try:
        backups = choose(place, archive, chain, target, chosen)
    except RestoreError as error:
        problems += str(error).splitlines()
    if os.path.ismount(live.directory):
        problems.append(
            f"{live.directory} is a mount point, which cannot be renamed: mount the file system one directory above"
        )
    if place.directory.exists() and journal.read(place.state) is None:
        problems.append(
            f"{place.directory} is there, and no restore that is under way has made it: move it away"
        )
    for check in (place.clone().check_space, place.clone().check_tablespaces) if backups else ():
        try:
            check(backups[0])
        except ClusterError as error:
            problems.append(str(error))
    if problems:
        raise RestoreError("\n".join(problems))
    return Plan(target, chain, backups, window, archive)


def choose(place: Place, archive: Archive, chain: Chain, target: Target, chosen: str) -> list[Backup]:
    """The backups to try, the nearest to the target first: an older one where the target is within the first."""
    every = archive.stanza.backups
    if chosen:
        found = [backup for backup in every if backup.label == chosen]
        if not found:
            labels = ", ".join(backup.label for backup in every)
            raise RestoreError(f"backup {chosen!r} is not in the repository; there are: {labels}")
        if not chain.leads_from(found[0]):
            raise RestoreError(
                f"backup {chosen} was made on timeline {found[0].timeline} after timeline {chain.timeline} had left it"
            )
        return found
    lsn = None
    if target.kind == "name":
        lsn = place_of_point(place.state, target.value)
    found = timelines.candidates(every, chain, target, lsn)
    if target.kind == "xid":
        found = before_transaction(place, archive, found, int(target.value))
    if not found and target.kind != "time":
        raise RestoreError(f"no backup on timeline {chain.timeline} is old enough for {target}")
    return found


def points(state: Path) -> list[dict[str, Any]]:
    """The restore points that `bundle-restore point` made, the oldest first."""
    path = state / POINTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def place_of_point(state: Path, name: str) -> int:
    """Where in the WAL a restore point is, in bytes."""
    made = points(state)
    found = [point for point in made if point["name"] == name]
    if found:
        return lsn_bytes(found[-1]["lsn"])
    there = ", ".join(f"{point['name']} ({point['at']})" for point in made[-10:]) or "none"
    raise RestoreError(
        f"restore point {name!r} was not made by bundle-restore point on this host; the newest that were: {there}. "
        "If somebody made it by pg_create_restore_point(), name the backup before it too (--set, restore_set)"
    )


def make_point(place: Place, name: str) -> dict[str, Any]:
    """Make a restore point, note where it is, and have it in the archive.

    Raises:
        RestoreError: there is one of this name.
        LiveError: it is not in the archive.
    """
    if any(point["name"] == name for point in points(place.state)):
        raise RestoreError(
            f"restore point {name!r} is there already: recovery would stop at the first of two"
        )
    with place.live.connect() as session:
        row = session.execute(
            "SELECT pg_create_restore_point(%s)::text, (SELECT timeline_id FROM pg_control_checkpoint())",
            [name],
        ).fetchone()
    assert row is not None
    point = {"name": name, "at": shown(datetime.now(UTC)), "lsn": row[0], "timeline": row[1]}
    path = place.state / POINTS
    with path.open("a") as file:
        file.write(json.dumps(point) + "\n")
        file.flush()
        os.fsync(file.fileno())
    place.live.archive_now()
    return point


def before_transaction(place: Place, archive: Archive, backups: list[Backup], xid: int) -> list[Backup]:
    """Those of the backups that began before the transaction did: by the checkpoint in their first WAL segment."""
    if not is_of_stanza(place.live, archive):
        raise RestoreError(
            f"where transaction {xid} is cannot be looked up without the cluster it was in: name the backup before it "
            "too (--set, restore_set)"
        )
    if place.live.answers():
        with place.live.connect() as session:
            row = session.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        if row and xid >= row[0]:
            raise RestoreError(f"transaction {xid} has not been yet: the next one gets {row[0]}")
    for number, backup in enumerate(backups):
        try:
            with wal.fetched(place.known, [backup.wal_first], place.live.directory) as segments:
                first = wal.next_xid(place.known, segments[0]) if segments else None
        except wal.WalError as error:
            raise RestoreError(unreadable(str(error))) from error
        if first is not None and first <= xid:
            return backups[number:]
    return []


def prepare(place: Place, wanted: Plan, tell: Callable[[str], None]) -> tuple[Journal, Report]:
    """Restore beside the live cluster, recover to the target, and look at what is there.

    Raises:
        RestoreError, ClusterError, PgbackrestError: and nothing is left of it.
    """
    began = time.monotonic()
    report = Report(f"Restore of {place.known.stanza} to {wanted.target}")
    flush(place, wanted, report, tell)
    archive = read_archive(place.live)
    last_segment = archive.last_segment(wanted.chain.timeline)
    moment = datetime.now(UTC)
    live = place.live.directory
    kept = live.with_name(f"{live.name}.before-restore-{moment:%Y%m%dT%H%M%SZ}")
    note = Journal("restoring", wanted.target, place.directory, live, kept, shown(moment))
    clone = place.clone()
    try:
        for number, backup in enumerate(wanted.backups):
            note.backup = backup.label
            note.write(place.state, "restoring")
            try:
                arrival = recover(clone, backup, wanted, last_segment, tell)
            except BeforeConsistencyError:
                if number + 1 == len(wanted.backups):
                    raise
                tell(f"{wanted.target} is within {backup.label}: going on with an older backup")
                clone.remove()
            else:
                break
        tell("ending the recovery")
        note.new_timeline = clone.promote()
        clone.stop()
        look_at(clone)
        describe(place, clone, wanted, backup, arrival, report)
    except BaseException:
        clone.remove()
        journal.forget(place.state)
        raise
    report.add(
        "ok", "reached", f"{arrival.said}; from backup {backup.label}, in {time.monotonic() - began:.1f} s"
    )
    note.report = json.loads(report.json())
    note.write(place.state, "prepared")
    return note, report


def recover(
    clone: Clone, backup: Backup, wanted: Plan, last_segment: str, tell: Callable[[str], None]
) -> Arrival:
    """Restore a backup and recover from it to the target."""
    tell(
        f"restoring {backup.label} ({backup.kind}, {backup.database_bytes / 1e6:,.1f} MB) to {clone.directory}"
    )
    clone.restore(backup, tell)
    tell(f"recovering to {wanted.target}")
    clone.start(wanted.target, timeline=wanted.chain.timeline, becomes_live=True)
    return clone.arrive(wanted.target, last_segment=last_segment, watch=lambda name: tell(f"replayed {name}"))


def look_at(clone: Clone) -> None:
    """Start what was recovered and stopped, to be read; who wants to write into it has to say so."""
    read_only = {"default_transaction_read_only": "on", "autovacuum": "off"}
    clone.start(becomes_live=True, settings=read_only)
    clone.wait_until_it_answers()


def flush(place: Place, wanted: Plan, report: Report, tell: Callable[[str], None]) -> None:
    """Have what the live cluster has committed in the archive, if it runs; a restore to before it can do without."""
    live = place.live
    if not (live.answers() and is_of_stanza(live, wanted.archive)):
        return
    tell("having the newest WAL archived")
    try:
        live.archive_now()
    except LiveError as error:
        last = wanted.archive.last_came(wanted.chain.timeline)
        if wanted.target.kind != "time" or last is None or wanted.target.moment > last:
            raise RestoreError(f"the newest WAL is needed for {wanted.target}, and {error}") from error
        report.add("warning", "archiving", str(error))


def describe(
    place: Place, clone: Clone, wanted: Plan, backup: Backup, arrival: Arrival, report: Report
) -> None:
    """Say what is in the clone, beside what is in the live cluster."""
    known = place.known
    there = look(clone.connect, known.database, known.version_table)
    now = (
        look(place.live.connect, known.database, known.version_table) if place.live.answers() else Contents()
    )
    last = shown(arrival.last_commit.astimezone(UTC)) if arrival.last_commit else "none since the backup"
    report.add("ok", "last commit", last)
    if arrival.left_out_xid:
        report.add(
            "ok", "left out", f"transaction {arrival.left_out_xid} of {arrival.left_out_at}, and all after it"
        )
    if there.heartbeat:
        report.add("ok", "heartbeat", f"the last is of {shown(there.heartbeat.astimezone(UTC))}")
    gap(wanted, arrival, report)
    same = (
        " as in the live cluster" if there.revision == now.revision else f" (live: {now.revision or 'none'})"
    )
    report.add(
        "ok" if there.revision == now.revision or not now.revision else "warning",
        "schema",
        f"revision {there.revision or 'none'}{same}",
    )
    report.add(
        "ok",
        "where",
        f"{place.directory}, {there.bytes / 1e6:,.1f} MB of {known.database}; to look at it: psql -h {clone.private} "
        f"-p {clone.port} -U {pgbackrest.USER} {known.database}",
    )
    report.tables.append(beside(there.rows, now.rows, f"Rows of {known.database}"))
    report.tables.append(around(place, clone, wanted, arrival))
    report.facts |= {
        "target": str(wanted.target),
        "backup": backup.label,
        "timeline": wanted.chain.timeline,
        "lsn": arrival.lsn,
        "last_commit": last,
        "revision": there.revision,
        "live_revision": now.revision,
        "directory": str(place.directory),
        "bytes": there.bytes,
    }


def gap(wanted: Plan, arrival: Arrival, report: Report) -> None:
    """Warn where nothing was committed for long before the moment: the cluster was down, or this is another past."""
    if wanted.target.kind != "time" or arrival.last_commit is None:
        return
    silent = wanted.target.moment - arrival.last_commit
    if silent > GAP:
        others = [str(number) for number in wanted.archive.ways.chains if number != wanted.chain.timeline]
        report.add(
            "warning",
            "gap",
            f"nothing was committed for {silent.total_seconds() / 60:.0f} minutes before this moment on timeline "
            f"{wanted.chain.timeline}",
            f"the cluster was down then, or what was written then is on another timeline ({', '.join(others)})"
            if others
            else "the cluster was down then",
        )


def around(place: Place, clone: Clone, wanted: Plan, arrival: Arrival) -> Table:
    """The last transactions that are there, and the first that are left out."""
    at = lsn_bytes(arrival.lsn)
    last = (at - 1) // SEGMENT_BYTES
    segments = [
        Segment(wanted.chain.at(number * SEGMENT_BYTES + 1), number)
        for number in range(max(last - 1, 0), last + SEGMENTS_AFTER + 1)
    ]
    try:
        with wal.fetched(place.known, [one.name for one in segments], clone.directory) as paths:
            found = [ended for path in paths for ended in wal.ended(place.known, path)]
    except wal.WalError:
        # What is archived only later has no segment yet; the counts and the log say the rest.
        found = []
    before = [one for one in found if lsn_bytes(one.lsn) < at][-TRANSACTIONS_BESIDE:]
    after = [one for one in found if lsn_bytes(one.lsn) >= at][:TRANSACTIONS_BESIDE]
    rows = [
        (one.time, str(one.xid), one.what, word)
        for word, part in (("there", before), ("left out", after))
        for one in part
    ]
    return Table("Transactions around the target", ("ended at", "transaction", "how", "restored"), rows)


def discard(place: Place, note: Journal) -> None:
    """Remove what was restored.

    Raises:
        RestoreError: a switch has begun.
    """
    if note.phase in {"switching", "switched"}:
        raise RestoreError("a switch has begun and is finished by bundle-restore switch; nothing was removed")
    place.clone().remove()
    journal.forget(place.state)


def take_up(place: Place, tell: Callable[[str], None]) -> None:
    """Let what is prepared be looked at, also after a power cut; RestoreError where it is gone."""
    clone = place.clone()
    if clone.is_running():
        return
    if not (clone.directory / "PG_VERSION").is_file():
        raise RestoreError(f"{clone.directory} is gone: bundle-restore discard, and prepare it again")
    tell(f"starting what was restored in {clone.directory}")
    clone.private.mkdir(mode=0o700, exist_ok=True)
    shutil.chown(clone.private, pgbackrest.USER, pgbackrest.USER)
    look_at(clone)
