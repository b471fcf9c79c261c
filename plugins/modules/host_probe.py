#!/usr/bin/python
# Copyright: The bundle's maintainers
# MIT License (see LICENSE)
"""Reads from a host in one call, with Python's standard library only, what preflight has to know of it."""

from __future__ import annotations

DOCUMENTATION = """
module: host_probe
short_description: What a host has, in one call
description:
  - Reads the operating system, memory, CPUs, listening TCP ports with their programs, and free space.
  - Changes nothing, and needs nothing but Python on the host. As root it sees the programs of all users.
author: The bundle's maintainers
options:
  paths:
    description: Absolute paths whose free space and existence are asked for; they need not exist.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
    description: The module only reads.
"""

EXAMPLES = """
- name: Look at the host
  host_probe:
    paths: [/var/lib/postgresql]
  register: probe
"""

RETURN = """
probe:
  description: What the host has.
  type: dict
  returned: always
  contains:
    os: {description: "id, name, pretty_name, version and major, from /etc/os-release.", type: dict}
    architecture: {description: As uname -m says., type: str}
    python: {description: Version of the Python that runs modules., type: str}
    init: {description: Name of the first process., type: str}
    systemd: {description: Whether the host was booted with systemd., type: bool}
    cpus: {description: Number of CPUs that this process may use., type: int}
    memory_mb: {description: Memory in MB (2^20 bytes)., type: int}
    listening: {description: "Listening TCP sockets: port, address, pid, process, unit.", type: list}
    space: {description: "For each path: exists, existing, device, mount, free_mb.", type: dict}
"""

import os
import platform
import socket
import struct
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

_LISTEN = "0A"


def read_os(text: str) -> dict[str, Any]:
    """The fields of an os-release file; `major` is 0 where there is no version (a rolling distribution)."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            fields[key] = value.strip("\"'")
    version = fields.get("VERSION_ID", "")
    major = version.split(".", maxsplit=1)[0]
    return {
        "id": fields.get("ID", ""),
        "name": fields.get("NAME", ""),
        "pretty_name": fields.get("PRETTY_NAME", ""),
        "version": version,
        "major": int(major) if major.isdigit() else 0,
    }


def read_memory_mb(text: str) -> int:
    """MemTotal of /proc/meminfo in MB (2^20 bytes); 0 when it is not there."""
    for line in text.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def read_address(text: str) -> str:
    """The address of a /proc/net/tcp field such as 0100007F: 32-bit words in the machine's byte order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    address = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
    return address[len("::ffff:") :] if address.startswith("::ffff:") else address


def read_listening(text: str) -> list[tuple[str, str, int]]:
    """(inode, address, port) of each listening socket in the text of /proc/net/tcp or tcp6."""
    sockets = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, port = fields[1].rsplit(":", 1)
            sockets.append((fields[9], read_address(address), int(port, 16)))
    return sockets


def socket_owners(proc: Path) -> dict[str, int]:
    """The lowest process id of each open socket's inode, without processes that may not be read."""
    owners: dict[str, int] = {}
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        try:
            links = list((proc / str(pid) / "fd").iterdir())
        except OSError:  # the process ended meanwhile, or is another user's
            continue
        for link in links:
            try:
                target = str(link.readlink())
            except OSError:  # a busy program has closed this one meanwhile; its other files still count
                continue
            if target.startswith("socket:["):
                owners.setdefault(target[len("socket:[") : -1], pid)
    return owners


def read_unit(text: str) -> str:
    """The systemd service in the text of /proc/PID/cgroup; empty when the process belongs to none."""
    for line in text.splitlines():
        for part in reversed(line.split(":", 2)[-1].split("/")):
            if part.endswith(".service"):
                return part
    return ""


def listeners(proc: Path) -> list[dict[str, Any]]:
    """Every listening TCP socket with the program that has it, ordered by port and address."""
    owners = socket_owners(proc)
    found = {}
    for name in ("tcp", "tcp6"):
        for inode, address, port in read_listening(_text(proc / "net" / name)):
            pid = owners.get(inode, 0)
            found[(port, address, pid)] = {
                "port": port,
                "address": address,
                "pid": pid,
                "process": _text(proc / str(pid) / "comm").strip() if pid else "",
                "unit": read_unit(_text(proc / str(pid) / "cgroup")) if pid else "",
            }
    return [found[key] for key in sorted(found)]


def space(path: str) -> dict[str, Any]:
    """Free space in MB, without root's reserve, at `path` or at its nearest parent that exists."""
    existing = Path(path)
    while not existing.exists():
        existing = existing.parent
    mount = existing.resolve()
    while not mount.is_mount() and mount != mount.parent:
        mount = mount.parent
    status = os.statvfs(existing)
    return {
        "exists": os.path.lexists(path),
        "existing": str(existing),
        "device": existing.stat().st_dev,
        "mount": str(mount),
        "free_mb": status.f_bavail * status.f_frsize // (1024 * 1024),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # the process ended meanwhile, or the kernel has no such file
        return ""


def probe(paths: list[str]) -> dict[str, Any]:
    """All of it, as documented under RETURN."""
    proc = Path("/proc")
    return {
        "os": read_os(_text(Path("/etc/os-release"))),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "init": _text(proc / "1" / "comm").strip(),
        "systemd": Path("/run/systemd/system").is_dir(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": read_memory_mb(_text(proc / "meminfo")),
        "listening": listeners(proc),
        "space": {path: space(path) for path in paths},
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"paths": {"type": "list", "elements": "path", "default": []}}, supports_check_mode=True
    )
    relative = [path for path in module.params["paths"] if not path.startswith("/")]
    if relative:
        module.fail_json(msg=f"paths: {', '.join(relative)} is not absolute. Write it from / on.")
    module.exit_json(changed=False, probe=probe(module.params["paths"]))


if __name__ == "__main__":
    main()
