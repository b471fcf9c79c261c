"""Whether what the repositories have can be relied on. Each check takes what was read and returns what it found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from toolbox import complaints, dumps, job, output, repository, schedule, segments
from toolbox.output import Finding
from toolbox.pgbackrest import Backup, Stanza

# Of many files the first are named; the JSON has them all.
NAMED = 5
RUNBOOKS = "docs/runbooks"
DAMAGED = f"see {RUNBOOKS}/backup-damaged.md"
LABEL = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")
KINDS = ("full", "diff", "incr", "dump")
# What makes up for a job that did not begin: a full backup is a differential one too, and more.
INSTEAD = {"full": ("full",), "diff": ("full", "diff"), "incr": ("full", "diff", "incr"), "dump": ("dump",)}


def state(stanza: Stanza) -> list[Finding]:
    """What pgBackRest itself says of the repositories."""
    found = [
        Finding(
            "critical",
            f"repository {one.key}",
            complaints.printable(one.message),
            f"see {RUNBOOKS}/backup-failed.md",
        )
        for one in stanza.repositories
        if one.status
    ]
    if stanza.status and not found:
        found.append(
            Finding(
                "critical",
                "repository",
                complaints.printable(stanza.message),
                f"see {RUNBOOKS}/backup-failed.md",
            )
        )
    found += [
        Finding(
            "critical",
            "checksums",
            f"{backup.label} is a copy of a database with damaged pages",
            f"see {RUNBOOKS}/checksum-failure.md",
        )
        for backup in stanza.backups
        if backup.failed
    ]
    return found


def jobs(metrics_directory: Path, *, at_work: bool) -> list[Finding]:
    """Whether the last run of each kind of backup went well, by the figures that it left.

    `at_work` says that a backup is being made now: what began and has not ended may be just that one.
    """
    found = []
    for kind in KINDS:
        for metric in output.read_metrics(job.backup_figures(metrics_directory, kind)):
            if metric.name == "bundle_backup_success" and not metric.value:
                found.append(_failed(kind, "the last one failed"))
            elif metric.name == job.BEGUN and not at_work:
                began = datetime.fromtimestamp(metric.value, UTC)
                text = f"the one that began at {began:%Y-%m-%d %H:%M:%S} UTC was cut off: by a power cut, or killed"
                found.append(_failed(kind, text))
    return found


def _failed(kind: str, text: str) -> Finding:
    advice = f"journalctl -u backup@{kind}; see {RUNBOOKS}/backup-failed.md"
    return Finding("critical", f"backup {kind}", text, advice)


def ages(
    made: Mapping[str, list[datetime]], schedules: Mapping[str, str], now: datetime, allowance: timedelta
) -> list[Finding]:
    """Whether each kind of backup was made when its schedule says; `made` has when those of a kind began.

    One that is due has `allowance` to be finished. A kind without a schedule is not asked for.
    """
    found = []
    for kind, fields in schedules.items():
        due = schedule.last_due(fields, now - allowance) if fields else None
        newest = max((moment for one in INSTEAD[kind] for moment in made.get(one, [])), default=None)
        if due is None or (newest is not None and newest >= due):
            continue
        was = f"the newest is of {newest:%Y-%m-%d %H:%M} UTC" if newest else "there is none"
        found.append(
            Finding(
                "critical",
                f"backup {kind}",
                f"stale: one was due at {due:%Y-%m-%d %H:%M} UTC, and {was}",
                f"systemctl start backup@{kind}; see {RUNBOOKS}/backup-stale.md",
            )
        )
    return found


def whole(backups: Iterable[Backup], listed: Iterable[repository.File]) -> list[Finding]:
    """Whether each backup that the list of backups names has its manifest, and each that it builds on is there."""
    paths = {file.path for file in listed}
    backups = list(backups)
    labels = {backup.label for backup in backups}
    found = []
    for backup in backups:
        manifest = f"{backup.label}/backup.manifest"
        present = [name for name in (manifest, f"{manifest}.copy") if name in paths]
        missing = [label for label in backup.needs if label not in labels]
        if not present:
            found.append(_broken(backup.label, "has no manifest: it cannot be restored"))
        if missing:
            found.append(_broken(backup.label, f"builds on {', '.join(missing)}, which is not there"))
    return found


def empty(listed: Iterable[repository.File]) -> list[Finding]:
    """Files of no size: nothing that pgBackRest stores is empty."""
    names = [file.path for file in listed if file.bytes == 0]
    return [Finding("critical", "files", f"empty: {_named(names)}", DAMAGED)] if names else []


def gaps(archived: repository.Wal, backups: list[Backup]) -> list[segments.Gap]:
    """What is missing of the WAL that these backups need, and that leads from them to the newest moment."""
    return segments.gaps(set(archived.files), archived.histories, _needed(backups))


def continuity(identity: str, archived: repository.Wal, backups: list[Backup]) -> list[Finding]:
    """Whether the WAL leads from the oldest backup to the newest moment, and each backup has what it needs."""
    needed, present = _needed(backups), set(archived.files)
    found = [_gap(gap, archived, needed) for gap in gaps(archived, backups)]
    current = segments.current_timeline(present, archived.histories, needed)
    if backups and current not in segments.beginnings(present, archived.histories, needed):
        found.append(
            Finding(
                "critical",
                "WAL",
                f"no backup leads to timeline {current}: {identity} has no {current:08X}.history, and no backup was "
                "made on it",
                "systemctl start backup@full",
            )
        )
    return found


def _needed(backups: list[Backup]) -> list[segments.Needed]:
    return [
        segments.Needed(
            backup.label, segments.Segment.of(backup.wal_first), segments.Segment.of(backup.wal_last)
        )
        for backup in backups
    ]


def _gap(gap: segments.Gap, archived: repository.Wal, needed: list[segments.Needed]) -> Finding:
    before = [segment for segment in archived.files if segment.timeline == gap.first.timeline]
    before = [segment for segment in before if segment < gap.first]
    reach = archived.files[max(before)][0].stored if before else None
    until = f"after {reach:%Y-%m-%d %H:%M:%S} UTC" if reach else "on this timeline"
    later = [one.label for one in sorted(needed, key=lambda one: one.first) if one.first > gap.last]
    again = f" before the end of {later[0]}" if later else ""
    what = f"{gap} missing ({gap.count} segment{'s' * (gap.count > 1)})"
    advice = f"see {RUNBOOKS}/wal-gap.md"
    if gap.on == "backup":
        labels = [one.label for one in needed if one.first <= gap.last and gap.first <= one.last]
        return Finding(
            "critical",
            "WAL",
            f"{what}: {', '.join(labels)} cannot be restored without a copy of its own (archive-copy)",
            advice,
        )
    if gap.on == "line":
        return Finding("critical", "WAL", f"{what}: no moment {until}{again} can be reached", advice)
    if gap.on == "seam":
        return Finding(
            "warning",
            "WAL",
            f"{what}: timeline {gap.first.timeline} can be reached from {later[0]} on",
            advice,
        )
    return Finding(
        "warning",
        "WAL",
        f"{what}: no moment {until} of timeline {gap.first.timeline}, which was left",
        advice,
    )


def unsettled(
    gaps: Iterable[segments.Gap], archived: repository.Wal, now: datetime, settle: timedelta
) -> bool:
    """Whether a gap may be none: WAL is sent by several processes, so that a segment may come after the next one."""
    return any(
        now - archived.files[later][0].stored < settle
        for gap in gaps
        for later in [segments.Segment(gap.last.timeline, gap.last.number + 1)]
        if later in archived.files
    )


def freshness(archives: list[repository.Wal], now: datetime, limit: timedelta) -> list[Finding]:
    """Whether the newest WAL is young enough: what is younger goes with the database host, should it be lost."""
    stored = [one.newest for one in archives if one.newest]
    advice = f"on the database host: bundle-archive-status; see {RUNBOOKS}/archive-behind.md"
    if not stored:
        return [Finding("critical", "WAL", "none is stored", advice)]
    segment, file = max(stored, key=lambda one: one[1].stored)
    age = (now - file.stored).total_seconds()
    if age <= limit.total_seconds():
        return []
    allowed = f"at most {limit.total_seconds():,.0f} s are allowed"
    message = f"the newest, {segment.name}, was stored {age:,.0f} s ago; {allowed}"
    return [Finding("critical", "WAL", message, advice)]


def contents(said: str, backups: list[Backup], archived: Mapping[str, repository.Wal]) -> list[Finding]:
    """What pgBackRest found when it read every file, without what was removed meanwhile because its time was over."""
    labels = {backup.label for backup in backups}
    files = {file.path for one in archived.values() for each in one.files.values() for file in each}
    there = [one for one in complaints.read(said) if _is_there(one, labels, files)]
    found: list[Finding] = []
    copies: list[str] = []
    damaged: dict[str, list[str]] = {}
    for one in there:
        if one.kind == "file":
            place = one.path.split("/")[0]
            damaged.setdefault(place if place in labels else "WAL", []).append(f"{one.path} {one.message}")
        elif one.kind == "copy":
            copies.append(one.message)
        elif one.kind == "other":
            found.append(Finding("critical", "verify", f"pgBackRest says: {one.message}", DAMAGED))
    if copies:
        text = f"of the two copies of a list (backup.info, archive.info, a manifest) one is damaged: {_named(copies)}"
        found.append(Finding("warning", "files", text, DAMAGED))
    invalid = {one.path: one.message for one in there if one.kind == "backup"}
    for place, names in damaged.items():
        if place == "WAL":
            found.append(Finding("critical", "WAL", _named(names), DAMAGED))
            continue
        others = [one.label for one in backups if place in one.needs and one.label in invalid]
        with_it = f"; {', '.join(others)} cannot be relied on either" if others else ""
        found.append(_broken(place, f"{_named(names)}{with_it}"))
    explained = {one.label for one in backups if {one.label, *one.needs} & set(damaged)}
    found += [_broken(label, message) for label, message in invalid.items() if label not in explained]
    return found


def _is_there(one: complaints.Complaint, labels: set[str], files: set[str]) -> bool:
    if repository.STORED.fullmatch(one.path):
        return one.path in files
    label = LABEL.search(one.path or one.message)
    return label is None or label[0] in labels


def dumped(directory: Path) -> list[Finding]:
    """Whether each logical dump is as it was written."""
    return [
        Finding("critical", f"dump {dump.path.name}", _named(problems), DAMAGED)
        for dump in dumps.every(directory)
        if (problems := dumps.problems(dump))
    ]


def _broken(label: str, message: str) -> Finding:
    return Finding("critical", f"backup {label}", message, DAMAGED)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
