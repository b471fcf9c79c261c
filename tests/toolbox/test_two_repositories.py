"""Two repositories, one of them in an object store over TLS: each gets all, and neither keeps the other waiting."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import ADDRESS, BUCKET, KEY, REGION, SECRET, ObjectStore, until
from original import STANZA, Original
from toolbox import output, pgbackrest
from toolbox.cluster import Clone
from toolbox.targets import Target

import backup

# As the role writes it, with less patience: what is away here is away at once.
SECOND = """\
repo2-type=s3
repo2-path=/original
repo2-s3-bucket={bucket}
repo2-s3-endpoint={address}
repo2-s3-region={region}
repo2-s3-uri-style=path
repo2-storage-port={port}
repo2-storage-ca-file={ca}
repo2-s3-key={key}
repo2-s3-key-secret={secret}
repo2-cipher-type=aes-256-cbc
repo2-cipher-pass=another horse, another battery
repo2-bundle=y
repo2-retention-full=9
archive-copy=y
io-timeout=1
[global:backup]
archive-timeout=120
"""


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with tempfile.TemporaryDirectory(prefix="store-") as name:
        Path(name).chmod(0o755)
        with ObjectStore(Path(name)) as store:
            yield store


@pytest.fixture(scope="module")
def twofold(store: ObjectStore) -> Iterator[Original]:
    """A cluster that archives to both."""
    options = SECOND.format(
        bucket=BUCKET,
        address=ADDRESS,
        region=REGION,
        port=store.port,
        ca=store.certificate,
        key=KEY,
        secret=SECRET,
    )
    made = Original(Path(tempfile.mkdtemp(prefix="two-", dir="/tmp")), options, (1, 2))
    try:
        made.make()
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def full(twofold: Original) -> output.Report:
    """The report of a full backup."""
    return backup.make("full", twofold.known)


def figure(report: output.Report, name: str) -> dict[str, float]:
    """A figure of the report, by repository."""
    return {
        metric.labels["repository"]: metric.value
        for metric in report.metrics
        if metric.name == f"bundle_backup_{name}"
    }


def kept(original: Original) -> dict[tuple[str, str], float]:
    """The figures of full backups that are there for Prometheus, by name and repository."""
    found = output.read_metrics(original.known.metrics_directory / "bundle_backup_full.prom")
    return {(metric.name, metric.labels["repository"]): metric.value for metric in found}


def in_store(store: ObjectStore, segment: str) -> bool:
    """Whether the store has a segment of WAL."""
    return any(f"/{segment}-" in key for key in store.objects(f"original/archive/{STANZA}"))


def in_first(original: Original, segment: str) -> bool:
    """Whether the first repository has it."""
    return bool([*original.repository.glob(f"archive/{STANZA}/*/*/{segment}-*")])


def end_segment(original: Original) -> str:
    """End a segment, and do not wait for it to be archived; its name."""
    original.note("the last of its segment")
    with original.connect() as session:
        row = session.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    assert row
    return str(row[0])


def waits(original: Original, segment: str) -> bool:
    """Whether PostgreSQL keeps it until it is archived."""
    return (original.data / "pg_wal/archive_status" / f"{segment}.ready").exists()


def test_backup_is_made_in_both_and_each_is_reported(full: output.Report) -> None:
    assert full.exit_status == 0, full.text()
    assert figure(full, "success") == {"1": 1, "2": 1}
    assert [found.subject for found in full.findings] == ["made in repository 1", "made in repository 2"]


def test_figures_of_both_are_there_for_prometheus(full: output.Report, twofold: Original) -> None:
    names = {name for name, _ in kept(twofold)}
    assert {(name, number) for name in names for number in ("1", "2")} == kept(twofold).keys()


def test_wal_goes_to_both(full: output.Report, twofold: Original, store: ObjectStore) -> None:
    segment = twofold.archive()
    assert in_first(twofold, segment)
    assert in_store(store, segment)


def test_everything_in_the_store_is_sealed(full: output.Report, store: ObjectStore) -> None:
    keys = store.objects()
    assert any(key.startswith("original/backup/") for key in keys)
    assert [key for key in keys if not store.read(key).startswith(b"Salted__")] == []


def test_cluster_is_restored_from_the_store_alone(full: output.Report, twofold: Original) -> None:
    twofold.note("only in the store")
    last = twofold.archive()
    [newest] = [one for one in pgbackrest.info(STANZA).backups if one.repository == 2]
    gone = twofold.repository.with_name("gone")
    twofold.repository.rename(gone)
    clone = Clone(twofold.known, twofold.home / "15/main.restored", twofold.home / "state/restored")
    try:
        clone.restore(newest, tell=lambda _line: None)
        clone.start(Target("latest"))
        clone.arrive(Target("latest"), last_segment=last)
        with clone.connect("product") as session:
            row = session.execute("SELECT count(*) FROM notes WHERE text = 'only in the store'").fetchone()
        assert row == (1,)
    finally:
        clone.kill()
        clone.remove()
        gone.rename(twofold.repository)


@pytest.fixture(scope="class")
def segment(full: output.Report, twofold: Original, store: ObjectStore) -> Iterator[str]:
    """A segment that was ended while the store is away."""
    twofold.archive()
    store.refuse()
    yield end_segment(twofold)
    store.answer()


class TestWhileTheStoreIsAway:
    """It refuses connections."""

    def test_wal_reaches_the_first_one_and_is_kept_for_the_second(
        self, twofold: Original, segment: str
    ) -> None:
        until(lambda: in_first(twofold, segment))
        assert waits(twofold, segment)

    def test_backup_is_made_in_the_first_one_and_reported_as_failed_in_the_second(
        self, twofold: Original, segment: str
    ) -> None:
        before = kept(twofold)
        report = backup.make("full", twofold.known)
        assert report.exit_status == 2
        assert figure(report, "success") == {"1": 1, "2": 0}
        [failed] = [found for found in report.findings if found.level == "critical"]
        assert failed.subject == "failed in repository 2"
        assert "unable to connect" in failed.message
        since = "bundle_backup_last_success_timestamp_seconds"
        assert kept(twofold)[since, "2"] == before[since, "2"]
        assert kept(twofold)[since, "1"] > before[since, "1"]


def test_what_was_kept_arrives_once_the_store_is_back(twofold: Original, store: ObjectStore) -> None:
    segment = end_segment(twofold)
    until(lambda: in_store(store, segment) and not waits(twofold, segment), seconds=180)


def test_wal_reaches_the_store_while_the_first_one_is_away(twofold: Original, store: ObjectStore) -> None:
    gone = twofold.repository.with_name("gone")
    twofold.repository.rename(gone)
    try:
        segment = end_segment(twofold)
        until(lambda: in_store(store, segment))
        assert waits(twofold, segment)
    finally:
        gone.rename(twofold.repository)
    until(lambda: in_first(twofold, segment) and not waits(twofold, segment), seconds=180)


def test_figures_go_with_their_repository(full: output.Report, twofold: Original) -> None:
    alone = Original(twofold.home, twofold.more, (1,))
    backup.make("incr", twofold.known)
    backup.make("incr", alone.known)
    found = output.read_metrics(alone.known.metrics_directory / "bundle_backup_incr.prom")
    assert {metric.labels["repository"] for metric in found} == {"1"}
