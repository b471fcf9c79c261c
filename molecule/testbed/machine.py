"""One host: its own files over the base image, its processes as the outer machine sees them, its life."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path

from testbed import cgroup, ssh
from testbed.image import main_python
from testbed.network import outer_mtu
from testbed.shell import TestbedError, call, last_lines, wait_until
from testbed.state import Host, Run

BOOT_SECONDS = 90
STOP_SECONDS = 60
# What the kernel usually needs to take a dead host's network apart is a few milliseconds.
CABLE_SECONDS = 5


def prepare(run: Run, host: Host) -> None:
    """Write the files that make a host this one: identity, keys, network. Only while it is stopped."""
    upper = run.host_directory(host.name) / "upper"
    (run.host_directory(host.name) / "work").mkdir(parents=True, exist_ok=True)
    key = ssh.host_key(run, host)
    upper.mkdir(exist_ok=True)
    upper.chmod(0o755)
    put(upper / "etc/machine-id", uuid.uuid4().hex + "\n", 0o444)
    put(upper / "etc/hostname", host.name + "\n")
    put(upper / "etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{host.name}\n::1\tlocalhost\n")
    put(upper / "etc/resolv.conf", name_servers())
    put(upper / "etc/ssh/ssh_host_ed25519_key", key.read_text(), 0o600)
    put(upper / "etc/ssh/ssh_host_ed25519_key.pub", key.with_suffix(".pub").read_text())
    put(upper / "etc/systemd/network/10-host0.network", network_file(host))
    put(upper / "root/.ssh/authorized_keys", ssh.client_key().with_suffix(".pub").read_text(), 0o600)
    (upper / "root").chmod(0o700)
    (upper / "root/.ssh").chmod(0o700)
    proxy = call("apt-config", "dump", "Acquire::http::Proxy").stdout.strip()
    if proxy:
        put(upper / "etc/apt/apt.conf.d/01outer-proxy", proxy + "\n")


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file into an upper directory, replacing a link or a whiteout that a layer left there."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)


def network_file(host: Host) -> str:
    """systemd-networkd's file for the interface that systemd-nspawn gives to a host."""
    return (
        "[Match]\nName=host0\n\n"
        f"[Link]\nMTUBytes={outer_mtu()}\n\n"
        f"[Network]\nAddress={host.address}/24\nGateway={host.gateway}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )


def name_servers() -> str:
    """A resolv.conf with the outer machine's name servers, leaving out those that only it can reach."""
    for source in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if not source.is_file():
            continue
        lines = [line for line in source.read_text().splitlines() if line.startswith("nameserver")]
        good = [line for line in lines if " 127." not in line and "::1" not in line]
        if good:
            return "\n".join(good) + "\n"
    raise TestbedError(
        "no name server that a host can reach: /etc/resolv.conf has only addresses of this machine (127.…). "
        "Name one there, for instance `nameserver 9.9.9.9`."
    )


def init_of(run: Run, host: str) -> int | None:
    """Process id, on the outer side, of the host's init; None if the host is down.

    It is found by the overlay that it has as its root, so that it is also found when systemd-nspawn was
    killed and the host lives on without it.
    """
    mark = f"upperdir={run.host_directory(host)}/upper"
    for process in processes():
        try:
            if _namespace_pid(process) != 1:
                continue
            mounts = Path("/proc", str(process), "mountinfo").read_text()
        except OSError:
            continue
        for line in mounts.splitlines():
            fields = line.split(" ")
            if fields[4] == "/" and mark in fields[-1].split(","):
                return process
    return None


def _namespace_pid(process: int) -> int:
    """Process id inside the innermost namespace of that process; 0 if it is in the outer one only."""
    for line in Path("/proc", str(process), "status").read_text().splitlines():
        if line.startswith("NSpid:"):
            chain = line.split()[1:]
            return int(chain[-1]) if len(chain) > 1 else 0
    return 0


def processes() -> list[int]:
    """All process ids that the outer machine has now."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208  (thousands of them)


def keepers_of(run: Run, host: str) -> list[int]:
    """Process ids of the host's supervisor and of its systemd-nspawn, supervisor first."""
    root = run.host_directory(host) / "root"
    marks = [f"supervise\0{root}\0", f"--directory={root}\0"]
    found: dict[str, list[int]] = {mark: [] for mark in marks}
    for process in processes():
        try:
            line = Path("/proc", str(process), "cmdline").read_text()
        except OSError:
            continue
        for mark in marks:
            if mark in line:
                found[mark].append(process)
    return [process for mark in marks for process in found[mark]]


def hosts_of(run: Run) -> set[str]:
    """Names of the hosts that a run has, in its directory or, if that was deleted, only in its processes."""
    names = {directory.name for directory in (run.directory / "hosts").glob("*")}
    mark = f"{run.directory}/hosts/"
    for process in processes():
        with suppress(OSError):
            line = Path("/proc", str(process), "cmdline").read_text()
            if mark in line:
                names.add(line.split(mark)[1].split("/")[0])
    return names


def start(run: Run, host: Host) -> None:
    """Boot a host that is down; does nothing to one that is up. Returns before it answers: see wait_for."""
    if init_of(run, host.name) is not None:
        return
    end(run, host.name)
    directory = run.host_directory(host.name)
    (directory / "root").mkdir(exist_ok=True)
    # A mount namespace of its own: when all these processes are gone, however they went, so is the mount.
    command = ["unshare", "--mount", "--propagation", "private", main_python(), str(Path(__file__).parent)]
    command += ["supervise", str(directory / "root"), run.name, host.name]
    if outer_systemd():
        # Out of the login session's control group, which a container's init may not take apart.
        unit = unit_name(run, host.name)
        call("systemctl", "reset-failed", unit, check=False)
        options = ["--quiet", "--collect", "--service-type=exec", f"--unit={unit}"]
        options += ["--property=Delegate=yes", "--property=KillMode=mixed", "--property=TasksMax=16384"]
        call("systemd-run", *options, "--", *command)
        return
    with (directory / "supervisor.log").open("a") as log:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )


def outer_systemd() -> bool:
    """Whether the outer machine runs systemd, as sd_booted(3) finds out."""
    return Path("/run/systemd/system").is_dir()


def unit_name(run: Run, host: str) -> str:
    """The transient unit that keeps a host, where the outer machine runs systemd."""
    return f"gitops-bundle-{run.name}.{host}.service"


def wait_for(run: Run, host: Host, seconds: float = BOOT_SECONDS) -> None:
    """Wait until the host lets us in by SSH; TestbedError with the end of its console if it does not."""
    if wait_until(lambda: ssh.answers(run, host), seconds):
        return
    state = "is down" if init_of(run, host.name) is None else "runs"
    raise TestbedError(
        f"host {host.name} of run {run.name} {state}; {host.address}:22 let nobody in for {seconds:.0f} s.\n"
        f"{told_by(run, host.name)}\nTry again with `up {run.name} … --fresh`."
    )


def told_by(run: Run, host: str) -> str:
    """The ends of a host's console and of its supervisor's log, for a person to read."""
    logs = [run.host_directory(host) / name for name in ("supervisor.log", "console.log")]
    return "\n".join(
        f"--- the end of {log}\n{last_lines(log.read_text(errors='replace'), 20)}"
        for log in logs
        if log.is_file()
    )


def end(run: Run, host: str) -> None:
    """Kill what is left of a host, wait until it is gone. A host that is down stays down."""
    for process in keepers_of(run, host):
        _signal(process, signal.SIGKILL)
    power_off(run, host)
    if not wait_until(lambda: init_of(run, host) is None and not keepers_of(run, host), 20, 0.05):
        raise TestbedError(f"processes of host {host} of run {run.name} do not end: {keepers_of(run, host)}")
    # The kernel takes a dead host's network apart some time after its last process. Until then its cable is there, and
    # the next boot would find the name taken.
    if not wait_until(lambda: not has_cable(run, host), CABLE_SECONDS, 0.05):
        call("ip", "link", "delete", "dev", cable(run, host))


def cable(run: Run, host: str) -> str:
    """The outer end of a host's cable; where systemd-nspawn shortens the name, this is another name for it."""
    return f"vb-gb-{run.name}.{host}"


def has_cable(run: Run, host: str) -> bool:
    """Whether the kernel has that interface."""
    return call("ip", "link", "show", "dev", cable(run, host), check=False).returncode == 0


def power_off(run: Run, host: str) -> None:
    """As if the cord were pulled: SIGKILL to the host's init takes all its processes in one moment."""
    process = init_of(run, host)
    if process is not None:
        _signal(process, signal.SIGKILL)


def stop(run: Run, host: str) -> None:
    """Shut a host down in order; TestbedError if it takes longer than STOP_SECONDS."""
    process = init_of(run, host)
    if process is not None:
        os.kill(process, signal.SIGRTMIN + 4)  # systemd(1): poweroff.target
    if not wait_until(lambda: init_of(run, host) is None and not keepers_of(run, host), STOP_SECONDS):
        raise TestbedError(f"host {host} of run {run.name} did not shut down within {STOP_SECONDS} s")


def reboot(run: Run, host: Host) -> None:
    """Reboot as an operator would, and wait until the host, with a new init, answers again."""
    before = init_of(run, host.name)
    if before is None:
        raise TestbedError(f"host {host.name} is down; `start {run.name} {host.name}` boots it")
    subprocess.run(ssh.command(run, host.name, "systemctl", "reboot"), capture_output=True, check=False)
    if not wait_until(lambda: init_of(run, host.name) not in (None, before), STOP_SECONDS):
        raise TestbedError(f"host {host.name} did not reboot within {STOP_SECONDS} s")
    wait_for(run, host)


def set_link(run: Run, host: str, direction: str) -> None:
    """Set the outer end of a host's cable `up` or `down`."""
    process = init_of(run, host)
    if process is None:
        raise TestbedError(f"host {host} is down; `start {run.name} {host}` boots it")
    # The name of the outer end is shortened by a hash when it is long: ask the inner end which one it is.
    inner = call("nsenter", "-t", str(process), "-n", "ip", "-o", "link", "show", "host0").stdout
    index = inner.split("host0@if")[1].split(":")[0]
    for link in Path("/sys/class/net", run.bridge, "brif").iterdir():
        if Path("/sys/class/net", link.name, "ifindex").read_text().strip() == index:
            call("ip", "link", "set", link.name, direction)
            return
    raise TestbedError(f"host {host} has no cable at {run.bridge}")


def remove(run: Run, host: str) -> None:
    """Kill a host and delete all its files."""
    end(run, host)
    cgroup.leave(run, host)
    directory = run.host_directory(host)
    deadline = time.monotonic() + 10
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=time.monotonic() < deadline)


def _signal(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
