"""A backup that is cut off, hangs, or meets another one: those before it stay, and the next one is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from shared.landscape import Landscape
from shared.machine import Machine
from shared.restores import REPOSITORY, Restores
from shared.sql import Superuser
from shared.wait import until

# Begins a full backup and stops its processes as soon as there is some of it in the repository.
HALF = f"""
touch /run/before
systemctl start --no-block backup@full
until find {REPOSITORY}/backup/intowork -path '*F/*' -type f -newer /run/before | grep -q .; do sleep 0.01; done
systemctl kill --signal=STOP backup@full
systemctl is-active backup@full
"""
LIMIT_SECONDS = 10
LIMIT = f"""
mkdir -p /run/systemd/system/backup@.service.d
printf '[Service]\\nTimeoutStartSec={LIMIT_SECONDS}\\n' >/run/systemd/system/backup@.service.d/limit.conf
systemctl daemon-reload
"""
NO_LIMIT = "rm -r /run/systemd/system/backup@.service.d && systemctl daemon-reload"


def half_a_backup(database: Machine) -> None:
    """A full backup is under way and goes no further."""
    assert database.sh(HALF, ok=(0, 3), timeout=60) == "activating", "it was over before it was stopped"


def lose_power(landscape: Landscape, database: Machine) -> None:
    """The host loses power."""
    landscape.lose_power(database)


def kill(_landscape: Landscape, database: Machine) -> None:
    """The kernel kills all of it, as it does without memory."""
    database.sh("systemctl kill --signal=KILL backup@full")
    until(
        lambda: "failed" in database.sh("systemctl is-active backup@full", ok=(3,)),
        seconds=20,
        what="its end",
    )


@pytest.mark.parametrize("end", [lose_power, kill])
def test_backup_that_was_cut_off_is_told_of_until_the_next_one_is_whole(
    backups: Restores,
    landscape: Landscape,
    database: Machine,
    notes: Superuser,
    end: Callable[[Landscape, Machine], None],
) -> None:
    notes("DELETE FROM notes", "INSERT INTO notes VALUES ('before the cut')")
    stored, whole = backups.stored(), backups.labels()
    half_a_backup(database)
    end(landscape, database)
    until(lambda: notes("SELECT 1"), seconds=60, what="the live cluster")
    assert notes("SELECT text FROM notes") == "before the cut"
    assert stored.items() <= backups.stored().items()
    (found,) = [text for text in backups.verified("--quick") if text.startswith("backup full: ")]
    assert "was cut off: by a power cut, or killed" in found

    backups.back_up("full")
    assert [text for text in backups.verified() if "stale" not in text] == []
    assert len(backups.labels()) == len(whole) + 1, "the next one went on with the half one"
    assert stored.items() <= backups.stored().items()


class TestTwoAtOnce:
    """One is under way when another one is begun."""

    @pytest.fixture(scope="class", autouse=True)
    def under_way(self, backups: Restores, database: Machine) -> Iterator[None]:
        """A full backup is under way; it comes to its end afterwards, as if nothing had been."""
        stored, whole = backups.stored(), backups.labels()
        half_a_backup(database)
        yield
        database.sh("systemctl kill --signal=CONT backup@full")
        until(
            lambda: database.sh("systemctl is-active backup@full", ok=(3,)) == "inactive",
            seconds=60,
            what="the end of the first backup",
        )
        assert backups.figures("backup_full")["bundle_backup_success"] == 1
        assert len(backups.labels()) == len(whole) + 1
        assert stored.items() <= backups.stored().items()

    def test_a_person_is_told_who_is_at_work(self, database: Machine) -> None:
        assert "backup full is at work, as process" in database.sh("bundle-backup incr", ok=(2,))

    def test_a_job_of_cron_ends_at_once_and_says_so_in_its_journal(self, database: Machine) -> None:
        database.sh("systemctl start backup@dump", ok=(1,))
        assert "backup full is at work, as process" in database.journal("backup@dump")

    def test_pgbackrest_itself_is_kept_out_too(self, database: Machine) -> None:
        line = "cd / && runuser -u postgres -- pgbackrest --stanza=intowork --type=incr backup 2>&1"
        assert "is another pgBackRest process running?" in database.sh(line, ok=(50,))

    def test_a_switch_of_the_cluster_waits_for_no_half_backup(self, backups: Restores) -> None:
        # Without anything restored it would refuse for another reason, so one is.
        backups.restore("prepare", "--latest")
        try:
            assert "backup full is at work, as process" in backups.refusal("switch")
        finally:
            backups.restore("discard")


@pytest.fixture
def limit(database: Machine) -> Iterator[None]:
    """Jobs may take seconds instead of hours."""
    database.sh(LIMIT)
    yield
    database.sh(NO_LIMIT)


def ends_by_its_limit(backups: Restores, database: Machine, kind: str) -> None:
    """A job hangs: its unit ends it, and says so to whoever looks."""
    before = backups.figures(f"backup_{kind}").get("bundle_backup_last_success_timestamp_seconds")
    database.sh(f"systemctl start backup@{kind}", ok=(1,), timeout=60)
    assert database.sh(f"systemctl show -P Result backup@{kind}") == "timeout"
    assert "it was ended by SIGTERM, by a person or because its time was over" in database.journal(
        f"backup@{kind}"
    )
    figures = backups.figures(f"backup_{kind}")
    assert figures["bundle_backup_success"] == 0
    assert figures.get("bundle_backup_last_success_timestamp_seconds") == before
    assert f"backup {kind}: the last one failed" in backups.verified("--quick")


def test_backup_that_hangs_is_ended_by_its_time_limit(
    backups: Restores, database: Machine, notes: Superuser, limit: None, untouched: None
) -> None:
    backups.back_up("incr")
    checkpointer = notes("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    # The server does not begin a backup without a checkpoint.
    database.sh(f"kill -STOP {checkpointer}")
    try:
        ends_by_its_limit(backups, database, "incr")
    finally:
        database.sh(f"kill -CONT {checkpointer}")
    backups.back_up("incr")
    assert backups.figures("backup_incr")["bundle_backup_success"] == 1


def test_dump_that_waits_for_a_lock_is_ended_by_its_time_limit(
    backups: Restores, database: Machine, notes: Superuser, limit: None, untouched: None
) -> None:
    backups.back_up("dump")
    dumps = database.sh("ls -A /var/backups/intowork")
    lock = "BEGIN; LOCK TABLE notes; SELECT pg_sleep(100)"
    database.sh(
        f"setsid timeout 100 psql -XAtq -h /var/run/postgresql -U postgres -d {notes.database} -c '{lock}'"
        " </dev/null >/dev/null 2>&1 &"
    )
    held = "FROM pg_locks WHERE relation = 'notes'::regclass AND mode = 'AccessExclusiveLock' AND granted"
    until(lambda: notes(f"SELECT count(*) {held}") == "1", seconds=20, what="the lock")
    try:
        ends_by_its_limit(backups, database, "dump")
    finally:
        notes(f"SELECT pg_terminate_backend(pid) {held}")
    assert database.sh("ls -A /var/backups/intowork") == dumps
    backups.back_up("dump")
    assert backups.figures("backup_dump")["bundle_backup_success"] == 1
