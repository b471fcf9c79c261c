"""A restore that is cut, cannot be made, or has nothing to begin with; live data and backups stay as they are."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shared import landscape as landscapes
from shared.landscape import ROOT, Landscape
from shared.machine import Machine
from shared.playbook import Playbook
from shared.restores import DATA, Restores
from shared.sql import Endpoints, Superuser
from shared.wait import until

SPARE, SPARE_HOST, SPARE_ADDRESS = "spare", "backup2", "10.87.11.10"
# Python tells of a rename before it is done; there the command is killed, and then the host.
CUT = """
import os, runpy, signal, sys
source, count = sys.argv[1], int(sys.argv[2])
def hook(event, arguments):
    global count
    if event == "os.rename" and os.fspath(arguments[0]) == source:
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = ["bundle-restore", "switch"]
runpy.run_path("/usr/local/lib/bundle/restore.py", run_name="__main__")
"""
JOURNAL = "/var/lib/bundle-backup/.restore.json.new"
PLACES = [
    pytest.param(f"{DATA}/main", 1, id="before_the_first_rename"),
    pytest.param(f"{DATA}/main.restored", 1, id="between_the_renames"),
    # The journal says `switching` with its first rename, `switched` with its second.
    pytest.param(JOURNAL, 2, id="after_both_renames"),
]


def test_power_cut_during_prepare_leaves_the_live_cluster_and_the_next_one_is_whole(
    backups: Restores, landscape: Landscape, database: Machine, notes: Superuser
) -> None:
    notes("DELETE FROM notes", "INSERT INTO notes VALUES ('before the cut')")
    stored = backups.stored()
    database.sh("setsid bundle-restore prepare --latest </dev/null >/dev/null 2>&1 &")
    until(
        lambda: database.host.file(f"{DATA}/main.restored/PG_VERSION").exists,
        seconds=60,
        what="half a restore",
    )
    landscape.lose_power(database)
    until(lambda: notes("SELECT 1"), seconds=60, what="the live cluster")
    assert notes("SELECT count(*) FROM notes WHERE text = 'before the cut'") == "1"
    assert "was ended before it was whole" in backups.refusal("switch") + backups.refusal("show")
    assert backups.restore("prepare", "--latest")["level"] == "ok"
    backups.restore("discard")
    assert stored.items() <= backups.stored().items()


@pytest.mark.parametrize(("source", "count"), PLACES)
def test_switch_that_lost_power_is_finished_by_the_next_run(
    backups: Restores, landscape: Landscape, database: Machine, notes: Superuser, source: str, count: int
) -> None:
    notes("DELETE FROM notes", "INSERT INTO notes VALUES ('to come back')")
    moment = backups.moment()
    notes("INSERT INTO notes VALUES ('to go')")
    timeline, stored = backups.timeline(), backups.stored()
    backups.restore("prepare", "--time", moment)
    ended = database.sh(f"python3 -c {shlex.quote(CUT)} {source} {count} 2>&1; echo status $?", timeout=60)
    assert ended.endswith("status 137"), ended
    landscape.lose_power(database)
    backups.restore("switch")
    assert notes("SELECT text FROM notes") == "to come back"
    assert backups.timeline() == timeline + 1
    assert stored.items() <= backups.stored().items()


def test_restored_cluster_that_does_not_start_is_exchanged_back(
    backups: Restores, database: Machine, notes: Superuser
) -> None:
    notes("DELETE FROM notes", "INSERT INTO notes VALUES ('of the live cluster')")
    timeline = backups.timeline()
    backups.restore("prepare", "--latest")
    # Whole when it was looked at, and damaged since.
    database.sh(f"systemctl stop bundle-restored && : > {DATA}/main.restored/PG_VERSION")
    assert "does not answer" in backups.refusal("switch")
    assert backups.timeline() == timeline
    assert notes("SELECT text FROM notes") == "of the live cluster"
    backups.restore("discard")


def test_wrong_passphrase_is_said_to_be_one_and_nothing_is_touched(
    backups: Restores, database: Machine, untouched: None
) -> None:
    secrets = "/etc/pgbackrest/conf.d/secrets.conf"
    database.sh(f"cp -p {secrets} /root/secrets && sed -i 's/cipher-pass=.*/cipher-pass=wrong/' {secrets}")
    try:
        assert "cannot be read with this passphrase" in backups.refusal("prepare", "--latest")
    finally:
        database.sh(f"cp -p /root/secrets {secrets}")


@pytest.fixture
def own_disk(request: pytest.FixtureRequest, database: Machine) -> Iterator[str]:
    """The cluster is on a file system of its own, of the size that the test names, and has room for itself."""
    place, kept = "/var/lib/postgresql", "/var/lib/postgresql.kept"
    database.sh(
        f"systemctl stop postgresql@15-main && mv {place} {kept} && mkdir {place}"
        f" && mount -t tmpfs -o size={request.param},mode=755 small {place} && mkdir {place}/15"
        f" && cp -a {kept}/15/main {place}/15/ && systemctl start postgresql@15-main",
        timeout=120,
    )
    yield place
    database.sh(
        # With what it wrote here: the archive has it already.
        f"systemctl stop postgresql@15-main && rm -r {kept}/15/main && cp -a {place}/15/main {kept}/15/"
        f" && umount {place} && rmdir {place} && mv {kept} {place} && systemctl start postgresql@15-main",
        timeout=120,
    )


@pytest.mark.parametrize("own_disk", ["900m"], indirect=True)
def test_disk_without_room_is_refused_with_what_is_needed(
    own_disk: str, backups: Restores, untouched: None
) -> None:
    refused = backups.refusal("prepare", "--latest")
    assert "/var/lib/postgresql/15 has 0." in refused
    assert "GB are needed to restore" in refused


@pytest.mark.parametrize("own_disk", ["4g"], indirect=True)
def test_disk_that_fills_during_a_restore_is_left_to_the_live_cluster(
    own_disk: str, backups: Restores, database: Machine, notes: Superuser, untouched: None
) -> None:
    said = "/run/said-by-prepare"
    database.sh(f"setsid bundle-restore prepare --latest </dev/null >{said} 2>/dev/null &")
    until(
        lambda: database.host.file(f"{DATA}/main.restored/PG_VERSION").exists,
        seconds=60,
        what="half a restore",
    )
    # All but this much is somebody else's from now on.
    database.sh(f"mount -o remount,size=$(($(du -sm {own_disk} | cut -f 1) + 200))m {own_disk}")
    given_up = until(lambda: database.sh(f"cat {said}"), seconds=90, what="the end of the restore")
    assert "ended before it could take them from the live cluster" in given_up
    notes("DELETE FROM notes", "INSERT INTO notes VALUES ('goes on')")
    assert notes("SELECT text FROM notes") == "goes on"


@pytest.fixture(scope="module")
def spare(landscape: Landscape, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landscape]:
    """A bare host in the place of the one that was lost, by the same inventory but for its address."""
    directory = tmp_path_factory.mktemp("spare") / "inventory"
    directory.mkdir()
    (directory / "group_vars").symlink_to((landscape.inventory / "group_vars").resolve())
    host = {"ansible_host": SPARE_ADDRESS, "bundle_address": SPARE_ADDRESS, "release_repository": str(ROOT)}
    names = ("ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args")
    moved = {
        name: str(landscape.variables[name]).replace(f"/runs/{landscape.run}/", f"/runs/{SPARE}/")
        for name in names
    }
    groups = ("database", "api", "haproxy", "backup", "monitoring", "control")
    hosts = {
        "hosts": {SPARE_HOST: host},
        "vars": moved,
        "children": {group: {"hosts": {SPARE_HOST: {}}} for group in groups},
    }
    (directory / "hosts.yml").write_text(yaml.safe_dump({"all": hosts}))
    bed("up", SPARE, f"--host={SPARE_HOST}={SPARE_ADDRESS}", "--fresh")
    yield landscapes.read(directory)
    bed("down", SPARE)


@pytest.fixture
def lost(database: Machine, notes: Superuser) -> Iterator[Machine]:
    """The database host as it is lost, with all that it had committed in the archive."""
    notes("DELETE FROM notes", "INSERT INTO notes VALUES ('of the host that is lost')")
    database.sh("systemctl stop postgresql@15-main")
    yield database
    database.sh("systemctl start postgresql@15-main")


def bed(*words: str) -> None:
    """Run a command of the test bed."""
    command = ["/usr/bin/python3", str(ROOT / "molecule" / "testbed"), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def test_database_comes_back_on_a_host_that_has_nothing(
    spare: Landscape, lost: Machine, landscape: Landscape, tmp_path: Path
) -> None:
    # The disk with the repository is put into another machine.
    config = "/var/lib/gitops-bundle/runs/{}/ssh_config"
    from_lost = ["ssh", "-F", config.format(landscape.run), lost.name, "tar -C /var/lib -c pgbackrest"]
    to_spare = ["ssh", "-F", config.format(SPARE), SPARE_HOST, "tar -C /var/lib -x"]
    with subprocess.Popen(from_lost, stdout=subprocess.PIPE) as disk:
        subprocess.run(to_spare, stdin=disk.stdout, check=True, timeout=120)
    playbook = Playbook(spare.inventory, tmp_path)
    there = Restores(spare.first("database"))
    stored = there.stored()
    refused = playbook.run("playbooks/provision.yml")
    assert "The repository has backups of another cluster under the stanza intowork" in refused.output
    restored = playbook.must("playbooks/restore.yml", restore_target="latest", restore_confirm=True)
    assert "site.yml deploys one after the restore" in restored.output
    assert Endpoints(spare).superuser("SELECT text FROM notes") == "of the host that is lost"
    assert stored.items() <= there.stored().items()
    there.machine.sh("runuser -u postgres -- pgbackrest --stanza=intowork check", timeout=90)
