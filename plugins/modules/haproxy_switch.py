#!/usr/bin/python
"""Ansible module: one colour of each server is live behind HAProxy, without a failed request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_switch
short_description: One colour of each server is live behind HAProxy
description:
  - Moves a backend's traffic to other servers over HAProxy's runtime API, in three phases that a play runs on
    all proxies before it goes on to the next.
  - C(gate) lets HAProxy check the servers to be live without giving them requests, and waits until the checks
    pass. When they do not in time, the servers that it woke go back to maintenance, and the module fails with
    the last check's words.
  - C(shift) gives the requests to the servers to be live and no new ones to the others, back to back, and
    makes the configuration file say the same, so that a reload or a reboot forgets nothing.
  - C(drain) waits until the others have no request any more and puts them into maintenance.
  - C(all) gives requests back to servers that had them: those that never lost them need no check, and where
    HAProxy does not run, only the file is made right for its next start.
  - Workers that a reload left behind cannot be told anything; C(drain) waits until they have ended.
  - Servers are named NAME-COLOUR, as in C(api1-blue).
options:
  live:
    description: The colour to be live of each server, or C(none), by the server's name.
    type: dict
    required: true
  phase:
    description: Which part to do.
    type: str
    choices: [gate, shift, drain, all]
    default: all
  backend:
    description: Name of the backend.
    type: str
    default: api
  config:
    description: HAProxy's configuration file, as the role's template writes it. Empty leaves it alone.
    type: path
    default: /etc/haproxy/haproxy.cfg
  socket:
    description: HAProxy's stats socket, with level admin.
    type: path
    default: /run/haproxy/admin.sock
  master_socket:
    description: The master's socket, over which workers left by a reload are seen. Passed over when absent.
    type: path
    default: /run/haproxy-master.sock
  ready_timeout:
    description: How long C(gate) waits for the checks, in seconds.
    type: float
    default: 60
  drain_timeout:
    description: How long C(drain) waits for the last request, in seconds. After it the servers are put into
      maintenance all the same.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: shift | Give the requests to green
  haproxy_switch:
    live: {api1: green, api2: green}
    phase: shift
"""

RETURN = r"""
commands:
  description: What HAProxy was told, or would be.
  type: list
  elements: str
  returned: always
servers:
  description: C(ready), C(drain) or C(maint) of each server afterwards, by its name.
  type: dict
  returned: always
unfinished:
  description: Requests still under way when the time was over, by server, and workers left by a reload.
  type: dict
  returned: always
waited:
  description: How long the checks and the last requests took, in seconds.
  type: float
  returned: always
"""

import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.haproxy_config import servers_of, with_live
from ansible.module_utils.haproxy_runtime import RuntimeApiError, Server, Worker, old_workers

POLL_SECONDS = 0.05


class RefusalError(Exception):
    """The phase cannot be done; the text says why, and what to do."""


def sides(live: dict[str, str], present: list[str]) -> tuple[list[str], list[str]]:
    """Return the names of the servers to be live, and of the others of the same hosts.

    Raises RefusalError when a server to be live is not in the backend.
    """
    wanted = [f"{name}-{colour}" for name, colour in sorted(live.items()) if colour != "none"]
    missing = [name for name in wanted if name not in present]
    if missing:
        raise RefusalError(
            f"The backend has no server {', '.join(missing)}; it has {', '.join(present) or 'none'}. "
            "Render haproxy.cfg for the servers of the inventory first (role haproxy)."
        )
    return wanted, [name for name in present if name not in wanted and name.rpartition("-")[0] in live]


class Switch:
    """The three phases on one proxy. In check mode nothing is said, and nothing waited for."""

    def __init__(
        self, current: Worker, *, master: Path | None, config: Path | None, backend: str, live: dict[str, str]
    ) -> None:
        self.current = current
        self.master = master
        self.config = config
        self.backend = backend
        self.check_mode = False
        self.commands: list[str] = []
        self.diff: dict[str, str] = {}
        self.unfinished: dict[str, int] = {}
        self.waited = 0.0
        self.wanted, self.others = sides(live, sorted(self.servers()))

    def servers(self) -> dict[str, Server]:
        """Return what the current worker says of the backend's servers."""
        servers: dict[str, Server] = self.current.servers(self.backend)
        return servers

    def told(self, name: str, state: str) -> str:
        """Return the command that gives a server an administrative state."""
        return f"set server {self.backend}/{name} state {state}"

    def tell(self, commands: list[str]) -> None:
        """Tell the current worker, and remember what it was told."""
        self.commands += commands
        if not self.check_mode:
            self.current.tell(commands)

    def gate(self, timeout: float, *, back: bool = False) -> None:
        """Wait until the servers to be live pass their health checks. Raises RefusalError.

        With `back`, servers that have requests now are not waited for: nothing is shifted to them.
        """
        before = self.servers()
        awaited = [name for name in self.wanted if not (back and before[name].admin == "ready")]
        asleep = [name for name in self.wanted if before[name].admin == "maint"]
        # A server that leaves maintenance counts as up until a check fails. Declared down in the same breath,
        # it comes up only by checks that pass from here on, as many as `rise` says.
        declared = [
            (self.told(name, "drain"), f"set server {self.backend}/{name} health down") for name in asleep
        ]
        self.tell([command for pair in declared for command in pair])
        if self.check_mode:
            return
        began = time.monotonic()
        while behind := [
            server for name, server in self.servers().items() if name in awaited and not server.up
        ]:
            if time.monotonic() - began > timeout:
                self.refuse(behind, asleep, timeout)
            time.sleep(POLL_SECONDS)
        self.waited += time.monotonic() - began

    def refuse(self, behind: list[Server], asleep: list[str], timeout: float) -> None:
        """Undo what the gate did and raise RefusalError with the last checks' words."""
        self.current.tell([self.told(name, "maint") for name in asleep])
        words = "; ".join(f"{server.name}: {server.check}" for server in behind)
        raise RefusalError(
            f"Not ready for requests after {timeout:g} s, by HAProxy's own checks: {words}. They got no "
            "request, and what was live before still is. See the service's journal on that host."
        )

    def shift(self) -> None:
        """Give new requests to the servers to be live and to no others. Raises RefusalError."""
        now = self.servers()
        new = [name for name in self.wanted if now[name].admin != "ready"]
        unproven = [name for name in new if now[name].admin == "maint" or not now[name].up]
        if unproven and not self.check_mode:
            words = "; ".join(f"{name}: {now[name].admin}, {now[name].check}" for name in unproven)
            raise RefusalError(
                f"Not proven ready, so they get no request: {words}. Run the phase gate first."
            )
        # The new ones first: in no moment is there nobody to take a request.
        old = [name for name in self.others if now[name].admin == "ready"]
        self.tell([self.told(name, "ready") for name in new] + [self.told(name, "drain") for name in old])
        self.write_config()

    def write_config(self) -> None:
        """Make the configuration file say what is live."""
        if self.config is None or (self.check_mode and not self.config.exists()):
            return
        before = self.config.read_text()
        after = with_live(before, self.backend, self.wanted, self.others)
        if before == after:
            return
        header = str(self.config)
        self.diff = {"before_header": header, "after_header": header, "before": before, "after": after}
        if not self.check_mode:
            replace(self.config, after)

    def drain(self, timeout: float) -> None:
        """Wait for the last requests on the others, then put them into maintenance. Raises RefusalError."""
        now = self.servers()
        busy = [name for name in self.others if now[name].admin == "ready"]
        late = [name for name in self.wanted if now[name].admin != "ready"]
        if (busy or late) and not self.check_mode:
            raise RefusalError(
                f"Requests have not been shifted yet (still live: {', '.join(busy) or 'none'}; not yet: "
                f"{', '.join(late) or 'none'}). Run the phase shift first."
            )
        if not self.check_mode:
            self.wait_for_last_request(timeout)
        self.tell([self.told(name, "maint") for name in self.others if now[name].admin != "maint"])

    def wait_for_last_request(self, timeout: float) -> None:
        """Wait until no worker has a request for the other servers, or the time is over."""
        began = time.monotonic()
        while True:
            self.unfinished = {name: count for name, count in self.under_way().items() if count}
            spent = time.monotonic() - began
            if not self.unfinished or spent > timeout:
                break
            time.sleep(POLL_SECONDS)
        self.waited += spent

    def under_way(self) -> dict[str, int]:
        """Return the requests under way, or still to be expected, by server or old worker.

        A worker that a reload left behind cannot be told anything ("Proxy is disabled"), and answers one more
        request on each connection that idles. One that has another colour live has to end by itself.
        """
        now = self.servers()
        counts = {name: now[name].sessions for name in self.others}
        for worker, servers in self.old():
            theirs = [servers[name] for name in self.others if name in servers]
            if any(server.admin == "ready" for server in theirs):
                counts[f"worker {worker.process} of before a reload"] = 1
            for server in theirs:
                counts[server.name] += server.sessions
        return counts

    def old(self) -> list[tuple[Worker, dict[str, Server]]]:
        """Return the workers that a reload left behind, with their servers; not those that end meanwhile."""
        found = []
        for worker in old_workers(self.master):
            try:
                found.append((worker, worker.servers(self.backend)))
            except (OSError, RuntimeApiError):
                continue
        return found


def replace(path: Path, text: str) -> None:
    """Replace a file by another with its owner and mode, in one step."""
    there = path.stat()
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    os.chown(beside, there.st_uid, there.st_gid)
    beside.chmod(there.st_mode & 0o7777)
    beside.replace(path)


def run(module: AnsibleModule) -> Switch:
    """Do the phases that the module was asked for."""
    given = module.params
    switch = Switch(
        Worker(Path(given["socket"])),
        master=Path(given["master_socket"]) if given["master_socket"] else None,
        config=Path(given["config"]) if given["config"] else None,
        backend=given["backend"],
        live=given["live"],
    )
    switch.check_mode = module.check_mode
    if given["phase"] in {"gate", "all"}:
        switch.gate(given["ready_timeout"], back=given["phase"] == "all")
    if given["phase"] in {"shift", "all"}:
        switch.shift()
    if given["phase"] in {"drain", "all"}:
        switch.drain(given["drain_timeout"])
    return switch


def prepare_next_start(module: AnsibleModule) -> None:
    """Where HAProxy does not run, nobody is served by it; its file says what is live from its next start on."""
    given = module.params
    config = Path(given["config"])
    before = config.read_text()
    try:
        wanted, others = sides(given["live"], servers_of(before, given["backend"]))
    except RefusalError as error:
        module.fail_json(msg=str(error))
    after = with_live(before, given["backend"], wanted, others)
    if after != before and not module.check_mode:
        replace(config, after)
    module.warn(f"HAProxy does not run here, so it was told nothing; {config} is right for its next start.")
    module.exit_json(
        changed=after != before,
        commands=[],
        servers={},
        unfinished={},
        waited=0.0,
        diff={
            "before_header": str(config),
            "after_header": str(config),
            "before": before,
            "after": after,
        },
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "live": {"type": "dict", "required": True},
            "phase": {"type": "str", "choices": ["gate", "shift", "drain", "all"], "default": "all"},
            "backend": {"type": "str", "default": "api"},
            "config": {"type": "path", "default": "/etc/haproxy/haproxy.cfg"},
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
            "master_socket": {"type": "path", "default": "/run/haproxy-master.sock"},
            "ready_timeout": {"type": "float", "default": 60.0},
            "drain_timeout": {"type": "float", "default": 60.0},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["socket"])
    if module.check_mode and not path.exists():
        message = f"HAProxy does not run here yet ({path} is not there)"
        module.exit_json(changed=True, commands=[], servers={}, unfinished={}, waited=0.0, msg=message)
    try:
        switch = run(module)
        servers = {name: server.admin for name, server in switch.servers().items()}
    except (RefusalError, RuntimeApiError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        absent = isinstance(error, ConnectionRefusedError | FileNotFoundError)
        if module.params["phase"] == "all" and absent and Path(module.params["config"] or "").is_file():
            prepare_next_start(module)
        module.fail_json(
            msg=f"HAProxy cannot be asked at {path}: {error}. Does it run? See: systemctl status haproxy"
        )
    if switch.unfinished:
        counts = ", ".join(f"{count} on {name}" for name, count in switch.unfinished.items())
        seconds = module.params["drain_timeout"]
        module.warn(f"Still under way after {seconds:g} s, cut when that colour stops: {counts}")
    module.exit_json(
        changed=bool(switch.commands or switch.diff),
        commands=list(dict.fromkeys(switch.commands)),
        servers=servers,
        unfinished=switch.unfinished,
        waited=round(switch.waited, 3),
        diff=switch.diff,
    )


if __name__ == "__main__":
    main()
