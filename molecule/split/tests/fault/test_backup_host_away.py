"""The backup host cannot be reached for long: the service goes on, no WAL is lost, and all of it arrives afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from shared.backups import Backups
from shared.landscape import Landscape
from shared.playbook import Playbook
from shared.traffic import Requests
from shared.wait import until
from shared.web import Web

SEGMENTS = 6


@pytest.fixture(scope="class")
def kept(backups: Backups, landscape: Landscape) -> Iterator[list[str]]:
    """The backup host's cable is out; the segments that were ended meanwhile, in order."""
    backups.arrives(backups.switch())
    landscape.testbed("cut-network", backups.keeper.name)
    try:
        yield [backups.switch() for _ in range(SEGMENTS)]
    finally:
        landscape.testbed("restore-network", backups.keeper.name)


class TestWhileItIsAway:
    """Its cable is out."""

    def test_archiving_fails_and_every_segment_is_kept(self, backups: Backups, kept: list[str]) -> None:
        failed = "SELECT failed_count > 0 AND last_failed_time > now() - interval '5 minutes' FROM pg_stat_archiver"
        until(
            lambda: backups.superuser(failed) == "t", seconds=240, what="a failure of archiving", interval=1
        )
        assert set(kept) <= set(backups.waiting())

    def test_status_says_since_when_wal_is_kept(self, backups: Backups, kept: list[str]) -> None:
        def said() -> str:
            return backups.database.sh("bundle-archive-status", timeout=120, ok=(1, 2))

        until(lambda: "WAL is kept since" in said(), seconds=300, what="the finding", interval=2)
        # archive_timeout ends a segment now and then, also while the command counts them.
        least = len(backups.waiting())
        said()
        most = len(backups.waiting())
        metrics = backups.database.sh("cat /var/lib/prometheus/node-exporter/bundle_archive.prom")
        assert 'bundle_archive_repository_up{repository="1"} 0' in metrics
        (waiting,) = re.findall(r"^bundle_archive_waiting_segments (\d+)$", metrics, re.MULTILINE)
        assert least <= int(waiting) <= most

    def test_service_goes_on_and_writes(self, backups: Backups, kept: list[str], web: Web) -> None:
        with Requests(web) as requests:
            until(lambda: requests.answered >= 10, seconds=30, what="answers")
            backups.superuser("CREATE TABLE public.meanwhile AS SELECT 1")
            backups.superuser("DROP TABLE public.meanwhile")
        assert requests.failures == []


def test_all_of_it_arrives_once_it_is_back(backups: Backups) -> None:
    last = backups.switch()
    backups.arrives(last, seconds=400)
    numbers = sorted(int(name[8:16], 16) * 256 + int(name[16:], 16) for name in backups.segments())
    newest = [number for number in numbers if number > numbers[-1] - SEGMENTS - 2]
    assert newest == list(range(newest[0], newest[-1] + 1))
    until(
        lambda: backups.database.sh("bundle-archive-status") and True, seconds=200, what="all is well again"
    )


def test_run_afterwards_changes_nothing(playbook: Playbook) -> None:
    assert playbook.must("playbooks/provision.yml", "--tags", "backup").changes == 0
