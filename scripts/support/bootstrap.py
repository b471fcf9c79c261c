"""What has to be on this machine first: Debian packages, and Python environments from lock files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.support import process
from scripts.support.console import Failure
from scripts.support.paths import BACKEND, BACKEND_VENV, CACHE, ROOT, VENV

Watch = Callable[[str], None]

# git: releases are made from commits. The rest are the test bed's own; one apt run is faster than five.
HOST_PACKAGES = (
    "git",
    "iproute2",
    "mmdebstrap",
    "nftables",
    "openssh-client",
    "python3-venv",
    "systemd-container",
)
# For everything that boots no host.
LEAST_PACKAGES = ("git", "python3-venv")
SERVER_PACKAGES = ("haproxy", "pgbackrest", "pgbouncer", "postgresql-15")


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Those of the Debian packages that are not installed."""
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def install_packages(packages: Sequence[str], log: Path, watch: Watch | None = None) -> bool:
    """Install what is missing of the Debian packages; says whether anything was."""
    missing = missing_packages(packages)
    if not missing:
        return False
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    advice = "Check the package mirror in /etc/apt/sources.list* and run this again."
    # A run that was killed while apt worked leaves packages half set up, and apt then does nothing else.
    process.must(["dpkg", "--configure", "-a"], log, watch=watch, env=environment, advice=advice)
    process.must(["apt-get", *options, "update"], log, watch=watch, env=environment, advice=advice)
    install = ["apt-get", *options, "install", "--no-install-recommends", *missing]
    process.must(install, log, watch=watch, env=environment, advice=advice)
    return True


def install_servers(log: Path, watch: Watch | None = None) -> None:
    """Install the servers that tests start themselves: no cluster is made, nothing is started or enabled."""
    missing = missing_packages(SERVER_PACKAGES)
    if not missing:
        return
    systemd = Path("/run/systemd/system").is_dir()
    # Masked until the next boot at most, should we be killed here. PostgreSQL without a cluster starts nothing.
    services = [package for package in missing if systemd and package != "postgresql-15"]
    masks = [Path(f"/run/systemd/system/{service}.service") for service in services]
    no_cluster = Path("/etc/postgresql-common/createcluster.d/no-main-cluster.conf")
    no_cluster.parent.mkdir(parents=True, exist_ok=True)
    try:
        no_cluster.write_text("create_main_cluster = false\n")
        for mask in masks:
            mask.unlink(missing_ok=True)
            mask.symlink_to("/dev/null")
        install_packages(SERVER_PACKAGES, log, watch)
    finally:
        no_cluster.unlink(missing_ok=True)
        for mask in masks:
            mask.unlink(missing_ok=True)
        if services:
            subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)
            subprocess.run(["systemctl", "disable", *services], check=False, capture_output=True)


def find_python() -> str:
    """The Python that environments are made with: Debian's 3.11, else another 3.11, else ours."""
    for candidate in ("/usr/bin/python3", shutil.which("python3.11")):
        if candidate and Path(candidate).exists() and version_of(candidate) == "3.11":
            return candidate
    return sys.executable


def version_of(python: str) -> str:
    """`3.11` and the like; empty if it does not run."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False).stdout.strip()


def ensure_environment(environment: Path, lock_file: Path, log: Path, watch: Watch | None = None) -> bool:
    """Make a virtual environment that is exactly a lock file; says whether there was anything to do.

    The stamp is written last, so that an environment whose making was interrupted is made anew.
    """
    python = find_python()
    wanted = hashlib.sha256(lock_file.read_bytes() + version_of(python).encode()).hexdigest()
    stamp = environment / "made-from.sha256"
    with locked(environment.name + "-" + environment.parent.name):
        if stamp.is_file() and stamp.read_text().strip() == wanted:
            return False
        if environment.exists():
            shutil.rmtree(environment)
        process.must([python, "-m", "venv", environment], log, watch=watch)
        install: list[str | Path] = [
            environment / "bin" / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
        ]
        install += [
            "--progress-bar=off",
            "--no-compile",  # of 30,000 files; those that are used are compiled then
            "--require-hashes",
            "--only-binary=:all:",
            "--requirement",
            lock_file,
        ]
        advice = "Can this machine reach https://pypi.org? Behind a mirror or proxy, pip.conf has to name it."
        process.must(install, log, watch=watch, advice=advice)
        stamp.write_text(wanted + "\n")
    return True


def ensure_controller(log: Path, watch: Watch | None = None) -> bool:
    """The environment with Ansible and the test tools, in .venv."""
    return ensure_environment(VENV, ROOT / "requirements.lock", log, watch)


def ensure_backend(log: Path, watch: Watch | None = None) -> bool:
    """The application's environment with its test tools, in backend/.venv."""
    return ensure_environment(BACKEND_VENV, BACKEND / "requirements-test.lock", log, watch)


def tool_environment() -> dict[str, str]:
    """Variables for Ansible, Molecule and their like: our environment's programs are found first."""
    return {
        "PATH": f"{VENV / 'bin'}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        "PYTHONUNBUFFERED": "1",
        "LC_ALL": "C.UTF-8",
    }


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Only one process at a time makes an environment; another waits."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def become_root(argv: list[str]) -> None:
    """Start again through sudo if this is not root and sudo is there; Failure if it is not."""
    if os.geteuid() == 0:
        return
    if shutil.which("sudo") is None:
        raise Failure("This needs root, and there is no sudo. As root: su -c " + argv[0])
    print("Mounts, bridges and containers need root: starting again with sudo.", flush=True)
    os.execvp("sudo", ["sudo", sys.executable, *argv])  # noqa: S606
