#!/usr/bin/python
"""Ansible module: a systemd unit runs, with the configuration that is on disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_in_force
short_description: A systemd unit runs, with the configuration that is on disk
description:
  - Starts a stopped unit, restarts or reloads a running one whose files changed after it last took them in, and leaves
    every other one alone.
  - The decision compares what runs with what is configured (the files' change times against the times that systemd
    keeps for the unit), never what this run changed. A run that was killed before its restart is finished by the next.
  - The unit's own files and drop-ins count as files that need a restart.
options:
  name:
    description: Unit, with its suffix, for example C(haproxy.service).
    type: str
    required: true
  state:
    description: Whether the unit runs. C(restarted) restarts one that runs whatever its files say.
    type: str
    choices: [started, stopped, restarted]
    default: started
  enabled:
    description: Whether the unit starts at boot.
    type: bool
    default: true
  reload_files:
    description: Files that the unit reads again when it is reloaded.
    type: list
    elements: path
    default: []
  restart_files:
    description: Files that the unit reads only when it starts.
    type: list
    elements: path
    default: []
  pooler:
    description:
      - The console of the pgBouncer that this unit is, with host, port, user and password. Before a restart PAUSE lets
        its transactions end, and the next ones wait, so that none is cut; they come to the new process.
      - A console that does not answer, as after a change of the port, is passed over with a warning; the unit's own
        signal waits for the transactions too, though for as long as systemd waits for the unit.
    type: dict
  pause_timeout:
    description: Seconds that PAUSE may take. After that nothing is restarted.
    type: int
    default: 3
author: The bundle's maintainers
"""

EXAMPLES = r"""
- name: service | Run HAProxy with the configuration on disk
  unit_in_force:
    name: haproxy.service
    reload_files: [/etc/haproxy/haproxy.cfg]
"""

RETURN = r"""
actions:
  description: What was done, or would be, in order.
  type: list
  elements: str
  returned: always
"""

import contextlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from ansible.module_utils.pgbouncer import ARGUMENT_SPEC, Console, ConsoleError, UnreachableError, paused
from ansible.module_utils.quiet_module import QuietModule

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "ActiveEnterTimestamp",
    "StateChangeTimestamp",
    "FragmentPath",
    "DropInPaths",
)
# Seconds after which a paused pooler resumes by itself, should this run be killed.
RESUME_AFTER = 60
# Not "enabled-runtime": that is gone after a reboot.
ENABLED_STATES = {"enabled", "static", "alias", "indirect", "generated"}


def parse_show(text: str) -> dict[str, str]:
    """Return the properties of `systemctl show`, by name."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def parse_timestamp(text: str) -> float:
    """Return seconds since the epoch for systemd's `--timestamp=us+utc`; minus infinity when it never happened."""
    if not text or text == "n/a":
        return float("-inf")
    _weekday, date, time, _zone = text.split()
    moment = datetime.strptime(f"{date} {time}", "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return moment.timestamp()


def unknown_drop_ins(name: str, show: dict[str, str], directory: Path = Path("/etc/systemd/system")) -> bool:
    """Return whether drop-ins of the unit are on disk that systemd has not read.

    NeedDaemonReload does not tell: systemd remembers which directories there are, and a new one is not among them.
    """
    return not set(drop_ins_on_disk(name, directory)) <= set(show["DropInPaths"].split())


def drop_ins_on_disk(name: str, directory: Path = Path("/etc/systemd/system")) -> list[str]:
    """Return the paths of the unit's drop-ins."""
    return [str(path) for path in sorted((directory / f"{name}.d").glob("*.conf"))]


def ask_systemd(name: str) -> dict[str, str]:
    """Return what systemd knows of the unit."""
    command = ["systemctl", "show", "--timestamp=us+utc", f"--property={','.join(PROPERTIES)}", name]
    return parse_show(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def newest_change(files: list[str]) -> float:
    """Return when the newest of the files took its place (ctime, seconds); minus infinity when none is there.

    The change time and not the modification time: a copied file keeps the latter, and so would look old.
    """
    return max((Path(name).stat().st_ctime for name in files if Path(name).exists()), default=float("-inf"))


def decide(
    show: dict[str, str], *, state: str, enabled: bool, reload_change: float, restart_change: float
) -> list[str]:
    """Return the systemctl verbs that bring the unit into force, in order.

    `reload_change` and `restart_change` are the change times of the files, in seconds since the epoch.
    """
    verbs = []
    if show["NeedDaemonReload"] == "yes":
        verbs.append("daemon-reload")
    if enabled and show["UnitFileState"] not in ENABLED_STATES:
        verbs.append("enable")
    if not enabled and show["UnitFileState"] in {"enabled", "enabled-runtime"}:
        verbs.append("disable")
    active = show["ActiveState"] in {"active", "reloading", "activating"}
    if state == "stopped":
        return [*verbs, "stop"] if active else verbs
    if not active:
        return [*verbs, "start"]
    if state == "restarted" or restart_change > parse_timestamp(show["ActiveEnterTimestamp"]):
        return [*verbs, "restart"]
    if reload_change > parse_timestamp(show["StateChangeTimestamp"]):
        return [*verbs, "reload"]
    return verbs


def carry_out(module: QuietModule, name: str, verbs: list[str]) -> None:
    """Do the verbs in order; fail with the end of the unit's journal where one does not work."""
    for verb in verbs:
        command = ["systemctl", verb] if verb == "daemon-reload" else ["systemctl", verb, name]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            journal = subprocess.run(
                ["journalctl", "--unit", name, "--lines", "25", "--no-pager", "--output", "cat"],
                check=False,
                capture_output=True,
                text=True,
            )
            module.fail_json(
                msg=f"systemctl {verb} {name} failed: {done.stderr.strip()}\n"
                f"The end of its journal:\n{journal.stdout}",
                actions=verbs,
            )


def carry_out_behind_pause(module: QuietModule, name: str, verbs: list[str]) -> None:
    """As `carry_out`, with the transactions of the pgBouncer that the unit is let end before."""
    pooler = Console(**{**module.params["pooler"], "unit": name})
    try:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(
                    paused([pooler], pause_timeout=module.params["pause_timeout"], resume_after=RESUME_AFTER)
                )
            except UnreachableError as unreachable:
                module.warn(
                    f"{name} restarts without PAUSE before, since its console does not answer: {unreachable}"
                )
            carry_out(module, name, verbs)
    except ConsoleError as refused:
        module.fail_json(
            msg=f"{name} was not restarted: {refused}. It was resumed, and serves as before. End what keeps a "
            "transaction open (bundle-monitor-db shows it), then run again."
        )


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "restarted"], "default": "started"},
            "enabled": {"type": "bool", "default": True},
            "reload_files": {"type": "list", "elements": "path", "default": []},
            "restart_files": {"type": "list", "elements": "path", "default": []},
            "pooler": {"type": "dict", "options": ARGUMENT_SPEC},
            "pause_timeout": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    show = ask_systemd(name)
    if unknown_drop_ins(name, show) and not module.check_mode:
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        show = ask_systemd(name)
    if show["LoadState"] != "loaded":
        if module.check_mode:
            module.exit_json(
                changed=module.params["state"] != "stopped",
                actions=[f"{name} is not on this host yet; it would be enabled and started"]
                * (module.params["state"] != "stopped"),
            )
        module.fail_json(
            msg=f"{name} is {show['LoadState']} on this host. Is the package that brings it installed, and its unit "
            f"file valid? See: systemctl status {name}"
        )
    # Those on disk too: in check mode systemd was not told of them above.
    unit_files = [show["FragmentPath"], *show["DropInPaths"].split(), *drop_ins_on_disk(name)]
    verbs = decide(
        show,
        state=module.params["state"],
        enabled=module.params["enabled"],
        reload_change=newest_change(module.params["reload_files"]),
        restart_change=newest_change([*module.params["restart_files"], *filter(None, unit_files)]),
    )
    if not module.check_mode:
        if "restart" in verbs and module.params["pooler"]:
            carry_out_behind_pause(module, name, verbs)
        else:
            carry_out(module, name, verbs)
    module.exit_json(changed=bool(verbs), actions=verbs)


if __name__ == "__main__":
    main()
