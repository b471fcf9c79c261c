"""A drill that is ended or killed takes nothing with it, and the next one is as if it had not been."""

from __future__ import annotations

from shared.machine import Machine
from shared.restores import Restores
from shared.wait import until

PLACE = "/var/lib/bundle-backup/drill"


def half_a_drill(database: Machine) -> None:
    """A drill is under way, and its cluster runs."""
    database.sh("systemctl start --no-block drill")
    until(lambda: database.host.file(f"{PLACE}/data/postmaster.pid").exists, seconds=120, what="its cluster")


def left(database: Machine) -> str:
    """What is left of a drill: files, servers, and a release on a restored database."""
    # Written so that it does not find itself.
    servers = database.sh(f"pgrep --full --list-full '[/]{PLACE[1:]}/data'", ok=(0, 1))
    release = database.sh("systemctl is-active drill-api", ok=(0, 3))
    return database.sh(f"ls -A {PLACE}") + servers + release.removeprefix("inactive")


def test_drill_that_is_ended_leaves_nothing_and_says_that_it_was(
    backups: Restores, database: Machine, untouched: None
) -> None:
    half_a_drill(database)
    database.sh("systemctl stop drill", timeout=100)
    assert left(database) == ""
    assert backups.figures("drill")["bundle_drill_success"] == 0
    assert "it was ended by SIGTERM, by a person or because its time was over" in database.journal("drill")


def test_what_a_killed_drill_left_is_gone_after_the_next_which_succeeds(
    backups: Restores, database: Machine, untouched: None
) -> None:
    half_a_drill(database)
    # As the kernel does it, without memory.
    database.sh("systemctl kill --signal=KILL --kill-who=main drill")
    until(lambda: database.sh("systemctl is-active drill", ok=(3,)) == "failed", seconds=100, what="its end")
    assert database.sh(f"ls {PLACE}").split() == ["data", "private"]
    # The drill's own words are the only ones that tell why.
    database.sh("systemctl start drill || { journalctl --unit=drill --lines=60; exit 1; }", timeout=300)
    assert left(database) == ""
    assert backups.figures("drill")["bundle_drill_success"] == 1
