"""A release of the product, serving from a restored cluster for as long as it takes to ask it a few things.

It runs as the product's own user in a sandbox (drill-api.service), with the settings of the colour that serves, except
for the database, and reaches nobody but this host. The clone lets in the product's role only, by a password of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from psycopg import sql

from toolbox import pgbackrest
from toolbox.cluster import Clone
from toolbox.settings import Settings

UNIT = "drill-api.service"
# What the unit starts, and with what: only root can read its settings.
PLACE = Path("/run/bundle-drill")
READY_SECONDS = 90
ANSWER_SECONDS = 30
ADDRESS = "127.0.0.1"


class NoReleaseError(Exception):
    """No release of this host fits; the message says why."""


class SmokeError(Exception):
    """The release does not serve; the message has what it said."""


@dataclass(frozen=True)
class Release:
    """A release of this host, and the file with the settings that it serves with."""

    name: str
    path: Path
    environment: Path


@dataclass(frozen=True)
class Answer:
    """What a path was answered with."""

    path: str
    status: int
    seconds: float
    body: str


def find(known: Settings, revision: str) -> Release:
    """The release that belongs to a revision of the schema: the one that serves, else another that is on this host.

    Raises:
        NoReleaseError: there is none.
    """
    root = known.drill_releases
    colour = root / "current"
    if not colour.is_symlink():
        raise NoReleaseError(f"no release is on this host ({root}/current is not there)")
    environment = Path("/etc") / known.name / f"{colour.readlink().name}.env"
    serves = colour.resolve()
    every = [serves, *sorted(path.parent for path in root.glob("releases/*/manifest.json"))]
    for path in every:
        manifest = json.loads((path / "manifest.json").read_text())
        if ",".join(sorted(manifest["alembic_heads"])) == revision:
            return Release(manifest["id"], path, environment)
    raise NoReleaseError(
        f"the restored schema is at revision {revision or 'none'}, and no release on this host belongs to it"
    )


def let_in(clone: Clone, known: Settings, release: Release) -> str:
    """Let the product's role into the clone when it starts with `settings`; returns the URL for it."""
    url = urlsplit(own_url(known, release))
    role = url.username or known.name
    password = secrets.token_urlsafe(24)
    with clone.connect() as session:
        words = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
        session.execute(words)
    rules = f'local all all trust\nhost "{known.database}" "{role}" {ADDRESS}/32 scram-sha-256\n'
    hba = hba_file(clone)
    hba.write_text(rules)
    shutil.chown(hba, pgbackrest.USER, pgbackrest.USER)
    netloc = f"{quote(role, safe='')}:{password}@{ADDRESS}:{clone.port}"
    return urlunsplit((url.scheme, netloc, f"/{known.database}", "", ""))


def settings(clone: Clone) -> dict[str, str]:
    """Settings of PostgreSQL with which the clone can be reached from this host, as far as `let_in` allows."""
    return {"listen_addresses": ADDRESS, "hba_file": str(hba_file(clone))}


def hba_file(clone: Clone) -> Path:
    """Who may connect while the release serves."""
    return clone.private / "smoke_hba.conf"


def ask(known: Settings, release: Release, url: str) -> list[Answer]:
    """Start the release, wait until its first path is answered with 200, ask for all of them, and end it.

    Raises:
        SmokeError: it does not start, or is not ready in time.
    """
    port = free_port()
    PLACE.mkdir(mode=0o711, exist_ok=True)
    link = PLACE / "release"
    link.unlink(missing_ok=True)
    link.symlink_to(release.path)
    own = {**known.drill_environment, known.drill_url_variable: url, "PORT": str(port)}
    lines = [
        line for line in release.environment.read_text().splitlines() if line.partition("=")[0] not in own
    ]
    lines += [f'{name}="{value}"' for name, value in own.items()]
    number = os.open(PLACE / "api.env", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "w") as file:
        file.write("\n".join(lines) + "\n")
    try:
        systemctl("start", UNIT)
        wait_until_ready(port, known.drill_paths[0])
        return [answer(port, path) for path in known.drill_paths]
    finally:
        stop()


def stop() -> None:
    """End it and remove its settings; nothing happens where it does not run."""
    if Path("/run/systemd/system").is_dir():
        systemctl("stop", UNIT)
    for name in ("api.env", "release"):
        (PLACE / name).unlink(missing_ok=True)


def wait_until_ready(port: int, path: str) -> None:
    """Wait until a path is answered with 200; SmokeError with the journal where it is not."""
    limit = time.monotonic() + READY_SECONDS
    while True:
        last = answer(port, path)
        if last.status == 200:
            return
        gone = not is_at_work()
        if gone or time.monotonic() > limit:
            what = (
                "it ended"
                if gone
                else f"{path} is answered with {last.status or 'nothing'}: {last.body[:300]}"
            )
            raise SmokeError(f"the release does not serve from the restored database: {what}\n{journal()}")
        time.sleep(0.2)


def answer(port: int, path: str) -> Answer:
    """Ask for a path; status 0 where there is no answer."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=ANSWER_SECONDS)
    with closing(connection):
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            status, body = response.status, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            status, body = 0, str(error)
    return Answer(path, status, time.monotonic() - began, body)


def own_url(known: Settings, release: Release) -> str:
    """The URL of the database in the settings that the release serves with.

    Raises:
        NoReleaseError: it is not in there.
    """
    for line in release.environment.read_text().splitlines():
        name, _, value = line.partition("=")
        if name == known.drill_url_variable:
            return "".join(shlex.split(value))
    raise NoReleaseError(f"{release.environment} has no {known.drill_url_variable}")


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def is_at_work() -> bool:
    """Whether the unit runs."""
    command = ["systemctl", "show", "--property=ActiveState", "--value", UNIT]
    state = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return state in {"active", "activating", "reloading"}


def journal() -> str:
    """The end of what it said."""
    command = ["journalctl", f"--unit={UNIT}", "--lines=20", "--output=cat", "--no-pager"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def systemctl(verb: str, unit: str) -> None:
    """Start or stop a unit; SmokeError with what systemd said where it cannot."""
    done = subprocess.run(["systemctl", verb, unit], check=False, capture_output=True, text=True)
    if done.returncode and verb == "start":
        raise SmokeError(f"{unit} does not start: {done.stderr.strip()}\n{journal()}")
