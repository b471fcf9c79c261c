#!/usr/bin/python
"""Ansible module: the release that serves on this host, started once more on another database, and asked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_smoke
short_description: Ask the release that serves on this host how it lives with a clone of its database
description:
  - Starts it beside the two colours, as the product's user in a sandbox that reaches the clone and nothing else, with
    the settings that it serves with, except for the database. Asks it a few paths, and ends it.
  - An answer other than 200 is a result and no failure of the module. Bodies of answers are kept nowhere.
options:
  name:
    description: Name of the product, which is that of its unix user.
    type: str
    required: true
  root:
    description: Directory of the product, with releases and the links.
    type: path
    required: true
  command:
    description: Program of the release's virtual environment with its arguments. C(${PORT}) is a free port.
    type: str
    required: true
  paths:
    description: What is asked for. Each has to be answered with 200; the first one when the release is ready.
    type: list
    elements: str
    required: true
  url_variable:
    description: Environment variable in which the release expects the URL of its database.
    type: str
    default: DATABASE_URL
  environment:
    description: Environment variables that it has instead of those that it serves with.
    type: dict
    default: {}
  clone_host:
    description: Address of the clone, in place of that of the live database.
    type: str
    required: true
  clone_port:
    description: Port of the clone.
    type: int
    required: true
  ready_seconds:
    description: How long it may take to be ready.
    type: int
    default: 60
author: The bundle's maintainers
"""

RETURN = r"""
release:
  description: The release that was asked; empty where none serves on this host.
  type: str
  returned: always
answers:
  description: Path, status and seconds of each answer; status 0 is no answer.
  type: list
  elements: dict
  returned: always
wrong:
  description: What is wrong, without a word of the release's own; empty where all is well.
  type: str
  returned: always
said:
  description: The end of what it said, where something is wrong. It may have data in it.
  type: str
  returned: always
"""

import http.client
import os
import shlex
import shutil
import socket
import subprocess
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.database_url import DatabaseUrlError, elsewhere

ADDRESS = "127.0.0.1"
ANSWER_SECONDS = 30
# Should this module be killed.
LONGEST_SECONDS = 600
# As templates/sandbox.j2, with which the colours run.
SANDBOX = [
    "UMask=0027",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictSUIDSGID=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "LockPersonality=yes",
    "CapabilityBoundingSet=",
    "SystemCallFilter=@system-service",
]


class SmokeError(Exception):
    """The release cannot be started at all; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What a path was answered with."""

    path: str
    status: int
    seconds: float


def settings(file: Path, params: dict[str, Any], port: int) -> str:
    """The release's settings, with the clone in place of the live database.

    Raises:
        SmokeError: the URL of the database is not among them.
    """
    lines = file.read_text().splitlines()
    variable = params["url_variable"]
    live = next(
        ("".join(shlex.split(line.partition("=")[2])) for line in lines if line.startswith(f"{variable}=")),
        "",
    )
    try:
        url = elsewhere(live, params["clone_host"], params["clone_port"])
    except DatabaseUrlError as error:
        raise SmokeError(f"{variable} in {file}: {error}") from error
    own = {"WORKERS": "1", **params["environment"], variable: url, "PORT": str(port)}
    kept = [line for line in lines if line.partition("=")[0] not in own]
    quoted = {name: str(value).replace("\\", "\\\\").replace('"', '\\"') for name, value in own.items()}
    return "\n".join([*kept, *(f'{name}="{value}"' for name, value in quoted.items())]) + "\n"


def start(unit: str, release: Path, file: Path, params: dict[str, Any], port: int) -> None:
    """Start it as a unit of its own, which is gone when it ends."""
    program, *arguments = shlex.split(params["command"].replace("${PORT}", str(port)))
    properties = [
        *SANDBOX,
        f"EnvironmentFile={file}",
        # It may think that it is in production, and is not to write letters.
        "IPAddressDeny=any",
        # In a unit's file these could be one line, and 127.0.0.0/8 be called localhost.
        *(f"IPAddressAllow={one}" for one in ("127.0.0.0/8", "::1/128", params["clone_host"])),
        f"RuntimeMaxSec={LONGEST_SECONDS}",
    ]
    command = [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={unit}",
        f"--uid={params['name']}",
        f"--gid={params['name']}",
    ]
    command += [f"--working-directory={release / 'source'}", *(f"--property={one}" for one in properties)]
    command += ["--", str(release / "venv" / "bin" / program), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SmokeError(f"the release does not start: {done.stderr.strip()}")


def answer(port: int, path: str) -> Answer:
    """Ask for a path; status 0 where there is no answer."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=ANSWER_SECONDS)
    with closing(connection):
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException):
            status = 0
    return Answer(path, status, round(time.monotonic() - began, 3))


def is_at_work(unit: str) -> bool:
    """Whether the unit runs."""
    command = ["systemctl", "show", "--property=ActiveState", "--value", unit]
    state = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return state in {"active", "activating", "reloading"}


def ask(unit: str, params: dict[str, Any], port: int) -> tuple[list[Answer], str]:
    """Wait until it is ready, and ask for all; the answers, and what is wrong with them."""
    limit = time.monotonic() + params["ready_seconds"]
    while (first := answer(port, params["paths"][0])).status != 200:
        if not is_at_work(unit):
            return [first], "it ended by itself before it was ready"
        if time.monotonic() > limit:
            return [first], f"it was not ready within {params['ready_seconds']} s"
        time.sleep(0.2)
    answers = [answer(port, path) for path in params["paths"]]
    bad = [f"{one.path} is answered with {one.status or 'nothing'}" for one in answers if one.status != 200]
    return answers, ", ".join(bad)


def smoke(params: dict[str, Any]) -> dict[str, Any]:
    """The module's result."""
    colour = Path(params["root"]) / "current"
    if not colour.is_symlink():
        return {"release": "", "answers": [], "wrong": "", "said": ""}
    release = colour.resolve()
    environment = Path("/etc") / params["name"] / f"{colour.readlink().name}.env"
    unit, place = f"{params['name']}-rehearsal.service", Path(f"/run/{params['name']}-rehearsal")
    with closing(socket.socket()) as probe:
        probe.bind((ADDRESS, 0))
        port = int(probe.getsockname()[1])
    stop(unit, place)
    place.mkdir(mode=0o700)
    try:
        number = os.open(place / "api.env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as file:
            file.write(settings(environment, params, port))
        start(unit, release, place / "api.env", params, port)
        answers, wrong = ask(unit, params, port)
        said = journal(unit) if wrong else ""
    finally:
        stop(unit, place)
    return {
        "release": release.name,
        "answers": [asdict(one) for one in answers],
        "wrong": wrong,
        "said": said,
    }


def stop(unit: str, place: Path) -> None:
    """End it and remove its settings; nothing happens where it does not run."""
    subprocess.run(["systemctl", "stop", unit], check=False, capture_output=True)
    shutil.rmtree(place, ignore_errors=True)


def journal(unit: str) -> str:
    """The end of what it said."""
    command = ["journalctl", f"--unit={unit}", "--lines=20", "--output=cat", "--no-pager"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "required": True},
            "command": {"type": "str", "required": True},
            "paths": {"type": "list", "elements": "str", "required": True},
            "url_variable": {"type": "str", "default": "DATABASE_URL"},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "clone_host": {"type": "str", "required": True},
            "clone_port": {"type": "int", "required": True},
            "ready_seconds": {"type": "int", "default": 60},
        },
        supports_check_mode=False,
    )
    try:
        result = smoke(module.params)
    except (SmokeError, OSError) as error:
        module.fail_json(msg=f"The release that serves could not be asked on the clone: {error}")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
