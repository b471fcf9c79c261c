"""Keys and SSH: one key pair that opens all hosts of this machine, a host key for each host."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from testbed import state
from testbed.shell import call
from testbed.state import Host, Run, write_atomically


def client_key() -> Path:
    """The private key that opens every host, made on first use."""
    key = state.state_directory() / "ssh" / "id_ed25519"
    with state.lock("ssh"):
        if not key.is_file():
            key.parent.mkdir(parents=True, exist_ok=True)
            key.parent.chmod(0o700)
            generate(key, "gitops-bundle test bed")
    return key


def generate(key: Path, comment: str) -> None:
    """Make an Ed25519 key pair without a passphrase."""
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key)


def host_key(run: Run, host: Host) -> Path:
    """The private host key of a host, kept on the outer side; made on first use."""
    key = run.host_directory(host.name) / "ssh_host_ed25519_key"
    if not key.is_file():
        key.parent.mkdir(parents=True, exist_ok=True)
        generate(key, f"root@{host.name}")
    return key


def write_client_files(run: Run) -> None:
    """Write known_hosts and ssh_config of a run, so that host key checking is on and succeeds."""
    lines = []
    for host in run.hosts:
        kind, value = host_key(run, host).with_suffix(".pub").read_text().split()[:2]
        lines.append(f"{host.name},{host.address} {kind} {value}\n")
    write_atomically(run.directory / "known_hosts", "".join(lines))
    blocks = [f"Host {host.name}\n  HostName {host.address}\n" for host in run.hosts]
    blocks.append(
        "Host *\n  User root\n"
        f"  IdentityFile {client_key()}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {run.directory}/known_hosts\n"
        "  StrictHostKeyChecking yes\n  ConnectTimeout 5\n  LogLevel ERROR\n"
    )
    write_atomically(run.directory / "ssh_config", "".join(blocks))


def command(run: Run, host: str, *argv: str, batch: bool = True) -> list[str]:
    """The ssh command line that runs `argv` on a host of the run."""
    options = ["-o", "BatchMode=yes"] if batch else []
    return ["ssh", "-F", str(run.directory / "ssh_config"), *options, run.host(host).name, *argv]


def answers(run: Run, host: Host) -> bool:
    """Whether a login by SSH works right now. The port is tried first: that costs far less than a login."""
    try:
        with socket.create_connection((host.address, 22), timeout=0.3) as connection:
            connection.settimeout(2)
            if not connection.recv(4).startswith(b"SSH-"):
                return False
    except OSError:
        return False
    login = command(run, host.name, "true")
    return subprocess.run(login, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0
