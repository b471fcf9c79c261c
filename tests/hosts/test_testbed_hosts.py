"""The test bed's hosts are real ones: they reboot, lose power and network, and leave no trace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import clients, machine, runs, ssh
from testbed.shell import TestbedError, wait_until
from testbed.state import Host, Run, state_directory

TESTBED = Path(__file__).resolve().parents[2] / "molecule" / "testbed"
# scripts/test removes these runs, should this be killed.
RUN, OTHER = "testbed-one", "testbed-two"
HOSTS = [Host("one1", "10.87.98.10"), Host("one2", "10.87.98.20")]
LAYER = "testbed-lay"


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    yield runs.up(RUN, HOSTS, fresh=True)
    runs.down(OTHER)
    runs.down(RUN)
    runs.drop_layer(LAYER)


def on(run: Run, host: str, *argv: str) -> str:
    """Standard output of a command on a host, without white space around it."""
    done = subprocess.run(ssh.command(run, host, *argv), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def control_group(run: Run, host: str) -> str:
    """The control groups of a host's init, as the outer machine names them."""
    return Path("/proc", str(machine.init_of(run, host)), "cgroup").read_text()


def keep_connection(run: Run, host: str, control: Path) -> Path:
    """Leave a connection behind as Ansible does, and return its control socket."""
    keep = ["-o", "ControlMaster=auto", "-o", "ControlPersist=120s", "-o", f"ControlPath={control}"]
    first, *rest = ssh.command(run, host, "true")
    subprocess.run([first, *keep, *rest], check=True, stderr=subprocess.DEVNULL)
    assert control.exists()
    return control


def runs_still(process: int | None) -> bool:
    """Whether a process is there and is more than an entry that its parent has not fetched yet."""
    try:
        return Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_systemd_is_up_and_nothing_failed(run: Run) -> None:
    assert on(run, "one1", "systemctl", "is-system-running", "--wait") == "running"


def test_two_hosts_are_two_machines(run: Run) -> None:
    for question in ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "hostname"):
        assert on(run, "one1", question) != on(run, "one2", question)
    assert control_group(run, "one1") != control_group(run, "one2")


def test_hosts_reach_each_other_and_the_package_mirror(run: Run) -> None:
    assert "SSH-2.0" in on(run, "one1", "bash -c 'head -c 7 < /dev/tcp/10.87.98.20/22'")
    assert on(run, "one1", "apt-get -qq update && echo reached") == "reached"


def test_up_again_leaves_the_hosts_alone(run: Run) -> None:
    before = [machine.init_of(run, host.name) for host in HOSTS]
    runs.up(RUN, HOSTS)
    assert [machine.init_of(run, host.name) for host in HOSTS] == before


def test_a_reboot_is_a_real_one_and_keeps_the_files(run: Run) -> None:
    on(run, "one1", "touch /kept /run/forgotten")
    before = machine.init_of(run, "one1")
    machine.reboot(run, HOSTS[0])
    assert machine.init_of(run, "one1") != before
    # ls fails for the one that has to be gone.
    assert on(run, "one1", "ls /kept /run/forgotten 2>/dev/null || true") == "/kept"


def test_after_a_power_cut_the_host_is_down_until_it_is_started(run: Run) -> None:
    machine.end(run, "one2")
    assert not ssh.answers(run, HOSTS[1])
    machine.start(run, HOSTS[1])
    machine.wait_for(run, HOSTS[1])
    assert on(run, "one2", "hostname") == "one2"


def test_host_boots_again_though_something_still_holds_its_network(run: Run) -> None:
    init = machine.init_of(run, "one2")
    with Path(f"/proc/{init}/ns/net").open():
        machine.end(run, "one2")
        machine.start(run, HOSTS[1])
        machine.wait_for(run, HOSTS[1])
    assert machine.init_of(run, "one2") not in (None, init)


def test_a_cut_cable_is_cut_until_it_is_plugged_in_again(run: Run) -> None:
    machine.set_link(run, "one2", "down")
    assert not ssh.answers(run, HOSTS[1])
    machine.set_link(run, "one2", "up")
    assert wait_until(lambda: ssh.answers(run, HOSTS[1]), 30)


def test_a_host_from_a_saved_layer_has_its_files_and_its_own_identity(run: Run) -> None:
    on(run, "one1", "echo golden > /golden")
    with pytest.raises(TestbedError, match=f"`stop {RUN} one1` first"):
        runs.save(RUN, "one1", LAYER)
    machine.stop(run, "one1")
    runs.save(RUN, "one1", LAYER)
    run = runs.up(RUN, HOSTS)
    other = runs.up(OTHER, [Host("two1", "10.87.97.10")], LAYER)
    assert on(other, "two1", "cat /golden") == on(run, "one1", "cat /golden") == "golden"
    assert on(other, "two1", "cat /etc/machine-id") != on(run, "one1", "cat /etc/machine-id")
    assert on(other, "two1", "hostname") == "two1"


@pytest.mark.parametrize(
    "damage", ["none", "its supervisor was killed", "its directory was deleted", "its cable was cut"]
)
def test_down_leaves_no_trace_of_a_run(damage: str, tmp_path: Path) -> None:
    other = runs.up(OTHER, [Host("two1", "10.87.97.10")], fresh=True)
    init = machine.init_of(other, "two1")
    control = keep_connection(other, "two1", tmp_path / "control")
    [master] = clients.clients_of(other)
    if damage == "its supervisor was killed":
        subprocess.run(["kill", "-9", *map(str, machine.keepers_of(other, "two1"))], check=True)
    elif damage == "its directory was deleted":
        subprocess.run(["rm", "-rf", str(other.directory)], check=True)
    elif damage == "its cable was cut":  # the end of the host's connections is not heard of then
        machine.set_link(other, "two1", "down")
    subprocess.run([sys.executable, str(TESTBED), "down", OTHER], check=True)
    assert not runs_still(init)
    assert not runs_still(master)
    assert not control.exists()
    assert machine.keepers_of(other, "two1") == []
    assert not Path("/sys/class/net", other.bridge).exists()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert other.table not in tables.split()
    assert str(state_directory() / "runs" / OTHER) not in Path("/proc/mounts").read_text()
    assert not other.directory.exists()
    assert list(Path("/sys/fs/cgroup").glob(f"**/gb-{OTHER}.two1")) == []
