"""What these tests share: a database with sessions, commands as processes, and a reader of Prometheus' text."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Outcome:
    """What a command that has ended said."""

    status: int
    text: str
    errors: str

    @property
    def json(self) -> dict[str, Any]:
        """The report of --format json."""
        assert self.text, self.errors
        found: dict[str, Any] = json.loads(self.text)
        return found

    def findings(self, check: str, level: str | None = None) -> list[str]:
        """The messages of a check, of one level or all."""
        return [
            finding["message"]
            for finding in self.json["findings"]
            if finding["subject"].split()[0] == check and level in (None, finding["level"])
        ]

    def level(self, check: str) -> str:
        """The worst level of a check."""
        levels = [each["level"] for each in self.json["findings"] if each["subject"].split()[0] == check]
        assert levels, f"nothing about {check} in {self.text}"
        return max(levels, key=("ok", "warning", "critical").index)

    def metric(self, name: str, **labels: str) -> float:
        """The only figure of that name with those labels, from JSON."""
        [value] = [
            float(each["value"])
            for each in self.json["metrics"]
            if each["name"] == name and labels.items() <= each["labels"].items()
        ]
        return value


@dataclass
class Database:
    """A database of a test; what was opened is closed with it."""

    name: str
    # The server that it is on, as environment; by default the one of the tests.
    server: dict[str, str] = field(default_factory=dict)
    opened: list[psycopg.Connection[Any]] = field(default_factory=list)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def session(self, *, autocommit: bool = False, **words: str) -> psycopg.Connection[Any]:
        """A session of its own, as another client would have it."""
        connection = psycopg.connect(**{**self.words, **words}, autocommit=autocommit)
        self.opened.append(connection)
        return connection

    @property
    def words(self) -> dict[str, str]:
        """What libpq needs to connect."""
        names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
        return {"dbname": self.name, **{names[name]: word for name, word in self.server.items()}}

    def run(self, *statements: str) -> None:
        """Statements, each in a transaction of its own."""
        with psycopg.connect(**self.words, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def value(self, query: str) -> Any:
        """The only value of a query."""
        with psycopg.connect(**self.words, autocommit=True) as connection:
            [[value]] = connection.execute(query).fetchall()
        return value

    def start(
        self, script: str, *words: str, form: str = "json", env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command against this database."""
        command = [
            sys.executable,
            str(ROOT / "scripts" / script),
            "--dbname",
            self.name,
            "--format",
            form,
            *words,
        ]
        process = subprocess.Popen(
            command,
            env=os.environ | self.server | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def command(
        self, script: str, *words: str, form: str = "json", env: dict[str, str] | None = None
    ) -> Outcome:
        """Run a command to its end."""
        return outcome(self.start(script, *words, form=form, env=env))

    def close(self) -> None:
        """End what is still open."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
        for connection in self.opened:
            connection.close()


def outcome(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a command that was started."""
    text, errors = process.communicate(timeout=120)
    return Outcome(process.returncode, text, errors)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; after 60 s it is an error."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.02)


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Read Prometheus' text as strictly as promtool: HELP, TYPE, the samples of that name together, none twice."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    current = ""
    lines = text.splitlines()
    while lines:
        line = lines.pop(0)
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in found, f"the samples of {current} do not stand together"
            assert re.fullmatch(r"# TYPE \S+ (gauge|counter)", lines[0]), lines[0]
            kind = lines.pop(0).split()
            assert kind[2] == current
            assert (kind[3] == "counter") == current.endswith("_total")
            found[current] = []
            continue
        matched = SAMPLE.fullmatch(line)
        assert matched, f"not a sample: {line}"
        assert matched[1] == current
        labels = dict(LABEL.findall(matched[2] or ""))
        assert labels not in [each for each, _value in found[current]], f"twice: {line}"
        found[current].append((labels, float(matched[3])))
    return found


@contextmanager
def another_server(*options: str) -> Iterator[Database]:
    """A PostgreSQL 15 of its own with data checksums, for what needs a start or damage; its database postgres.

    `options` are settings, NAME=VALUE.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = ["pg_virtualenv", "-t", "-v", "15", "-i", "--data-checksums"]
    words += [word for option in ("fsync=off", *options) for word in ("-o", option)]
    process = subprocess.Popen(
        # It ends when its input does.
        [*words, "sh", "-c", "env; echo READY; exec cat"],
        env=os.environ | {"PGPORT": port},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    server = {}
    for line in iter(process.stdout.readline, "READY\n"):
        assert line, "pg_virtualenv ended"
        name, _, value = line.rstrip("\n").partition("=")
        if name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD"):
            server[name] = value
    try:
        yield Database("postgres", server)
    finally:
        process.communicate()
