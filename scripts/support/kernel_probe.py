"""Tries on this kernel what hosts need: an overlay mount, a bridge, nftables. One JSON object: what failed, and why.

Started as `unshare --mount --net python3 FILE DIRECTORY`: in namespaces of its own, which end with it.
The overlay is tried below DIRECTORY, since not every file system can carry one. Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# linux/sockios.h, linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h
SIOCBRADDBR = 0x89A0
NETLINK_NETFILTER = 12
NFT_GET_GENERATION = (10 << 8) | 16
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
MASQUERADE = """\
table ip probe {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    masquerade
  }
}
"""


def mount_overlay(directory: str) -> None:
    """Mount one as a host's root is, and write through it."""
    work = Path(tempfile.mkdtemp(prefix=".probe-", dir=directory))
    try:
        for name in ("lower", "upper", "work", "root"):
            (work / name).mkdir()
        options = f"lowerdir={work}/lower,upperdir={work}/upper,workdir={work}/work"
        run("mount", "-t", "overlay", "overlay", "-o", options, str(work / "root"))
        try:
            (work / "root" / "written").touch()
        finally:
            run("umount", str(work / "root"))
    finally:
        shutil.rmtree(work)


def make_bridge() -> None:
    """Make one by the oldest of the kernel's ways, which needs no program."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as handle:
        fcntl.ioctl(handle, SIOCBRADDBR, b"gb-probe\0")


def ask_nftables() -> None:
    """Ask for the generation of its rules; and where nft is installed, load a rule as hosts need one."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as handle:
        handle.settimeout(5)
        family_version_id = struct.pack("=BBH", 0, 0, 0)
        header = struct.pack("=IHHII", 16 + len(family_version_id), NFT_GET_GENERATION, NLM_F_REQUEST, 1, 0)
        handle.send(header + family_version_id)
        answer = handle.recv(4096)
    kind, code = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
    if kind == NLMSG_ERROR and code != 0:
        raise OSError(-code, os.strerror(-code))
    if shutil.which("nft"):
        run("nft", "-f", "-", stdin=MASQUERADE)


def run(*command: str, stdin: str = "") -> None:
    """Run a program; OSError with what it said if it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(errno.EIO, " ".join((done.stderr or done.stdout).split()))


def failures(directory: str) -> dict[str, str]:
    """What does not work here, by name, with the kernel's reason."""
    found = {}
    attempts: dict[str, Callable[[], None]] = {
        "overlay": lambda: mount_overlay(directory),
        "bridge": make_bridge,
        "nftables": ask_nftables,
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            found[name] = error.strerror or str(error)
    return found


if __name__ == "__main__":
    print(json.dumps(failures(sys.argv[1])))
