"""HAProxy's runtime API: what its workers say about the servers of one backend, and how to tell them.

Measured on HAProxy 2.6.12. A reload leaves the old worker running until its last connection is done. It
chooses servers by its own state, which can be read over the master's socket and no longer changed ("Proxy is
disabled").
"""

from __future__ import annotations

import csv
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Bits of srv_admin_state (management guide, "show servers state"): forced, inherited and resolver
# maintenance; forced and inherited drain. The bit 0x04 stays on a server that started disabled.
MAINTENANCE = 0x01 | 0x02 | 0x20
DRAIN = 0x08 | 0x10
RUNNING = 2

# A reload replaces the socket; a connection in that moment is refused and is right the next time.
RECONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0


class RuntimeApiError(Exception):
    """HAProxy cannot be asked, or refused a command; the text says what to do."""


@dataclass(frozen=True)
class Server:
    """One server of the backend, as one worker sees it."""

    name: str
    admin: str
    """What it was told: `ready`, `drain` or `maint`."""
    up: bool
    """Whether its health checks let it have requests."""
    sessions: int
    """Requests under way on it or waiting for it."""
    check: str
    """The last health check's own words, such as `L7STS 503 Service Unavailable`."""


def admin_state(bits: int) -> str:
    """Return `maint`, `drain` or `ready` for the bits of srv_admin_state."""
    if bits & MAINTENANCE:
        return "maint"
    return "drain" if bits & DRAIN else "ready"


def parse_servers(state: str, statistics: str) -> dict[str, Server]:
    """Return the servers by name from the answers to `show servers state` and `show stat`.

    Raises RuntimeApiError when the answers are not what HAProxy 2.6 gives, for example "Can't find backend."
    """
    lines = state.strip().splitlines()
    header = next((line[2:].split() for line in lines if line.startswith("# be_id")), None)
    if header is None:
        raise RuntimeApiError(f"HAProxy answered {state.strip()!r} when asked for the servers of the backend")
    rows = [
        dict(zip(header, line.split(), strict=False)) for line in lines if " " in line and line[0].isdigit()
    ]
    counters = {row["svname"]: row for row in csv.DictReader(statistics.lstrip("# ").splitlines())}
    servers = {}
    for row in rows:
        counted = counters[row["srv_name"]]
        words = (counted["check_status"], counted["check_code"], counted["last_chk"] or counted["check_desc"])
        servers[row["srv_name"]] = Server(
            name=row["srv_name"],
            admin=admin_state(int(row["srv_admin_state"], 0)),
            up=int(row["srv_op_state"]) == RUNNING,
            sessions=int(counted["scur"] or 0) + int(counted["qcur"] or 0),
            check=" ".join(word for word in words if word) or "no check has ended yet",
        )
    return servers


def parse_old_workers(processes: str) -> list[int]:
    """Return the process ids of the workers that a reload left behind, from the answer to `show proc`."""
    old = False
    found = []
    for line in processes.splitlines():
        if line.startswith("#"):
            old = line.startswith("# old workers")
        elif old and line.strip():
            found.append(int(line.split()[0]))
    return found


def ask(path: Path, command: str) -> str:
    """Return the answer to one command line.

    Raises OSError (among them TimeoutError) when the socket cannot be reached within a few seconds.
    """
    deadline = time.monotonic() + RECONNECT_SECONDS
    while True:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.connect(str(path))
                connection.sendall(f"{command}\n".encode())
                # The master answers as long as it may be asked: without this it keeps the connection open.
                connection.shutdown(socket.SHUT_WR)
                parts = []
                while part := connection.recv(65536):
                    parts.append(part)
                return b"".join(parts).decode()
        except (ConnectionError, FileNotFoundError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@dataclass(frozen=True)
class Worker:
    """A worker process of HAProxy: the current one (no process id) or an old one behind the master."""

    path: Path
    process: int | None = None

    def ask(self, *commands: str) -> str:
        """Return the answer to the commands, which the worker carries out back to back."""
        prefix = "" if self.process is None else f"@!{self.process} "
        return ask(self.path, "; ".join(prefix + command for command in commands))

    def servers(self, backend: str) -> dict[str, Server]:
        """Return the backend's servers by name. Raises OSError and RuntimeApiError."""
        return parse_servers(
            self.ask(f"show servers state {backend}"),
            self.ask(f"show stat {backend} 4 -1"),
        )

    def tell(self, commands: Sequence[str]) -> None:
        """Carry out commands that answer nothing when all is well; RuntimeApiError has HAProxy's words."""
        answer = self.ask(*commands).strip() if commands else ""
        if answer:
            raise RuntimeApiError(f"HAProxy refused {'; '.join(commands)!r}: {answer}")


def old_workers(master: Path | None) -> list[Worker]:
    """Return the workers that earlier reloads left behind; none when HAProxy has no master."""
    if master is None or not master.exists():
        return []
    return [Worker(master, process) for process in parse_old_workers(ask(master, "show proc"))]
