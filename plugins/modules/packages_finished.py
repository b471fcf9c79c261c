#!/usr/bin/python
"""Ansible module: nothing is left of a run of apt that was killed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages_finished
short_description: Nothing is left of a run of apt that was killed
description:
  - Waits for an apt or dpkg that still works, such as one whose Ansible is gone.
  - Finishes packages that are half set up (dpkg --configure -a), without starting their services. Until that is done,
    apt refuses to work.
  - Takes away the /usr/sbin/policy-rc.d of Ansible's module apt, which keeps packages from starting services, and
    which stays for ever when that module is killed. What the module had put aside for it comes back. Any other
    policy-rc.d is somebody's own and stays.
options:
  lock_timeout:
    description: Seconds to wait for another apt or dpkg.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: install | Finish what a killed run of apt left
  packages_finished:
"""

RETURN = r"""
actions:
  description: What was done, or would be, in order.
  type: list
  elements: str
  returned: always
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

POLICY = Path("/usr/sbin/policy-rc.d")
# As Ansible's module apt writes it with policy_rc_d: 101, and this module while it finishes packages.
NOTHING_STARTS = "#!/bin/sh\nexit 101\n"
FRONTEND = Path("/var/lib/dpkg/lock-frontend")
LOCKS = (
    Path("/var/lib/apt/lists/lock"),
    Path("/var/cache/apt/archives/lock"),
    Path("/var/lib/dpkg/lock"),
)
POLL_SECONDS = 0.2


class BusyError(Exception):
    """Another program held a lock for too long."""


def holder(path: Path) -> str:
    """Return who holds a lock on the file, for a person to read."""
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if len(words) > 5 and words[5].rpartition(":")[2] == inode:
            with contextlib.suppress(OSError):
                return f"{Path('/proc', words[4], 'comm').read_text().strip()}, process {words[4]}"
    return "another program"


@contextlib.contextmanager
def locked(path: Path, deadline: float) -> Iterator[None]:
    """Hold the lock that apt and dpkg take on the file. BusyError when it is not free before `deadline` (monotonic)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise BusyError(f"{holder(path)} holds {path}") from None
                time.sleep(POLL_SECONDS)
        yield


def half_set_up() -> bool:
    """Return whether dpkg has something to finish."""
    audit = subprocess.run(["dpkg", "--audit"], check=False, capture_output=True, text=True)
    return bool(audit.stdout or any(Path("/var/lib/dpkg/updates").iterdir()))


def is_leftover(policy: Path) -> bool:
    """Return whether the file is what a killed run left, and not somebody's own."""
    return policy.is_file() and not policy.is_symlink() and policy.read_bytes() == NOTHING_STARTS.encode()


def put_aside(directory: Path) -> Path | None:
    """Return the newest policy-rc.d that Ansible's module apt moved out of its way: root's, in a folder of root's."""
    found = [
        file
        for folder in directory.glob("ansible*")
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
        for file in folder.glob("policy-rc.d")
        if file.stat().st_uid == os.geteuid() and not is_leftover(file)
    ]
    return max(found, key=lambda file: file.parent.stat().st_mtime, default=None)


def take_away(policy: Path, directory: Path) -> None:
    """Remove the leftover, or put in its place what was there before it."""
    own = put_aside(directory)
    if own is None:
        policy.unlink()
        return
    # Copied beside it first: /tmp may be another file system, and no moment is to be without the policy.
    new = policy.with_name(f".{policy.name}.new")
    shutil.copy2(own, new)
    new.replace(policy)
    own.unlink()
    own.parent.rmdir()


@contextlib.contextmanager
def nothing_starts(policy: Path) -> Iterator[None]:
    """Keep packages from starting services meanwhile. A policy that is there is left as it is."""
    if policy.exists():
        yield
        return
    try:
        policy.write_text(NOTHING_STARTS)
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def configure() -> str:
    """Let dpkg set up what is half set up, under the caller's lock; return what it said when it failed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "DPKG_FRONTEND_LOCKED": "1"}
    done = subprocess.run(
        ["dpkg", "--configure", "-a"],
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout[-3000:] if done.returncode else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"lock_timeout": {"type": "int", "default": 300}}, supports_check_mode=True
    )
    directory = Path(tempfile.gettempdir())
    deadline = time.monotonic() + module.params["lock_timeout"]
    actions = []
    with contextlib.ExitStack() as held:
        if not module.check_mode:
            try:
                held.enter_context(locked(FRONTEND, deadline))
                for path in LOCKS:
                    with locked(path, deadline):
                        pass
            except BusyError as busy:
                module.fail_json(
                    msg=f"{busy}, and has for {module.params['lock_timeout']} s. Wait until it is through, or end it; "
                    "then run again."
                )
        if half_set_up():
            actions.append("dpkg --configure -a")
            if not module.check_mode:
                with nothing_starts(POLICY):
                    said = configure()
                if said:
                    module.fail_json(
                        msg="Packages that a killed run left half set up cannot be finished. See what dpkg says, "
                        f"correct it on the host, then run again:\n{said}"
                    )
        if is_leftover(POLICY):
            actions.append(f"take {POLICY} away")
            if not module.check_mode:
                take_away(POLICY, directory)
    module.exit_json(changed=bool(actions), actions=actions)


if __name__ == "__main__":
    main()
