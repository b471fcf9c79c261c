#!/usr/bin/python
"""Ansible module: a release is unpacked on this host, with its own virtual environment; nothing runs it yet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_stage
short_description: Unpack a release on this host and make its virtual environment, offline
description:
  - A release is whole when its manifest is there, which is put there last, and whole; what a killed run left is made
    anew.
  - A release that is whole is never changed again.
  - Of two runs at once the later waits for the earlier. A controller that was killed leaves its module at work on the
    host for a while; without the lock it would write into what the next run makes, or remove it.
options:
  id:
    description: Name of the release.
    type: str
    required: true
  archive:
    description: The release's archive on this host.
    type: path
    required: true
  checksum:
    description: SHA-256 of the archive, in hexadecimal digits.
    type: str
    required: true
  directory:
    description: Directory of the releases.
    type: path
    required: true
  python:
    description: Python that the virtual environment is made with.
    type: path
    default: /usr/bin/python3
author: The bundle's maintainers
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

MANIFEST = "manifest.json"
LOCK_SECONDS = 300


class StageError(Exception):
    """The release cannot be staged; the message says why and what to do."""


@contextlib.contextmanager
def alone(directory: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of the directory of releases; StageError when another has it for all of `seconds`.

    The kernel gives it back when its holder ends, however that is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with (directory / ".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StageError(
                        f"another run has been staging into {directory} for {seconds:g} s. See which process it is "
                        f"(fuser {file.name}) and end it if it hangs, then run again."
                    ) from None
            time.sleep(0.1)
        yield


def check_archive(archive: Path, checksum: str) -> None:
    """Raise StageError unless the archive is the one that was built."""
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != checksum:
        raise StageError(
            f"{archive} is not what was built: its SHA-256 is {digest.hexdigest()}, not {checksum}. "
            "Remove it and run again; it is copied anew."
        )


def make_environment(release: Path, *, python: str) -> None:
    """Make the release's virtual environment of the packages that came with it.

    They are unpacked already, for this host's Python. What they bring as programs names the Python of the machine that
    built the release in its first line, so that line is written anew.
    """
    environment = release / "venv"
    subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True, capture_output=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    packages.rmdir()
    (release / "site-packages").rename(packages)
    if not (packages / "bin").exists():
        return
    for program in (packages / "bin").iterdir():
        if not program.is_file():
            continue
        first, newline, rest = program.read_bytes().partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            first = b"#!" + str(environment / "bin" / "python").encode()
        installed = environment / "bin" / program.name
        installed.write_bytes(first + newline + rest)
        installed.chmod(0o755)
    shutil.rmtree(packages / "bin")


def stage(release: Path, archive: Path, *, python: str) -> None:
    """Unpack the archive and make the environment, the manifest last."""
    if release.exists():
        shutil.rmtree(release)
    release.mkdir(parents=True)
    # The program and not Python's tarfile, whose safe mode Debian 12's 3.11.2 does not have. The manifest stays in the
    # archive until the end: what is killed while it unpacks must not look whole.
    tar = ["tar", "--extract", f"--file={archive}"]
    subprocess.run(
        [*tar, "--no-same-owner", f"--directory={release}", "source", "site-packages"],
        check=True,
        capture_output=True,
    )
    manifest = subprocess.run(
        [*tar, "--occurrence", "--to-stdout", MANIFEST], check=True, capture_output=True
    ).stdout
    make_environment(release, python=python)
    # Where the controller's bytecode is not this Python's. The service's user cannot write here, so what is not
    # compiled now would be compiled at every start.
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", release], check=False, capture_output=True)
    (release / f".{MANIFEST}").write_bytes(manifest)
    # All of it is on the disk before the name that says so, or else a power cut leaves a whole release of empty files.
    subprocess.run(["sync", "--file-system", str(release)], check=True, capture_output=True)
    (release / f".{MANIFEST}").rename(release / MANIFEST)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "id": {"type": "str", "required": True},
            "archive": {"type": "path", "required": True},
            "checksum": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "python": {"type": "path", "default": "/usr/bin/python3"},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)  # the service's user reads what root makes here
    release = Path(module.params["directory"], module.params["id"])
    if (release / MANIFEST).exists():
        module.exit_json(changed=False, path=str(release))
    if module.check_mode:
        module.exit_json(changed=True, path=str(release))
    archive = Path(module.params["archive"])
    try:
        with alone(release.parent):
            if (release / MANIFEST).exists():
                module.exit_json(changed=False, path=str(release))
            try:
                check_archive(archive, module.params["checksum"])
                stage(release, archive, python=module.params["python"])
            except BaseException:
                shutil.rmtree(release, ignore_errors=True)
                raise
    except (StageError, OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", None)
        words = detail.decode(errors="replace") if isinstance(detail, bytes) else str(error)
        module.fail_json(msg=f"Release {release.name} was not staged and nothing was switched: {words}")
    module.exit_json(changed=True, path=str(release), interpreter=sys.version.split()[0])


if __name__ == "__main__":
    main()
