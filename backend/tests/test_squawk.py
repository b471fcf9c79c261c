"""What squawk says of the SQL that each migration renders: just what .squawk.toml has a reason for."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness.migrations import BACKEND, parent_of, rendered, revisions

CONFIGURATION = BACKEND / ".squawk.toml"
RULES = tomllib.loads(CONFIGURATION.read_text())
DIRECTIONS = ("upgrade", "downgrade")


def squawk(file: Path, *options: str) -> list[dict[str, Any]]:
    """What it finds in `file`."""
    program = Path(sys.executable).with_name("squawk")
    done = subprocess.run(
        [program, "--reporter", "json", *options, file], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def script(directory: Path, direction: str, revision: str) -> Path:
    """The revision's SQL, in a file."""
    span = (parent_of(revision), revision) if direction == "upgrade" else (revision, parent_of(revision))
    file = directory / f"{direction}-{revision}.sql"
    file.write_text(rendered(direction, ":".join(span)))
    return file


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_squawk_finds_what_is_listed_for_the_migration_and_nothing_else(
    tmp_path: Path, direction: str, revision: str
) -> None:
    found = squawk(script(tmp_path, direction, revision), "--config", str(CONFIGURATION))
    listed = set(RULES[direction].get(revision, []))
    unlisted = [each for each in found if each["rule_name"] not in listed]
    assert [f"line {each['line']}: {each['rule_name']}: {each['message']}" for each in unlisted] == []
    assert {each["rule_name"] for each in found} == listed, (
        "a rule is listed that this migration does not break"
    )


def test_only_migrations_that_exist_are_listed() -> None:
    assert {revision for direction in DIRECTIONS for revision in RULES[direction]} <= set(revisions())


@pytest.mark.parametrize("rule", RULES["excluded_rules"])
def test_no_rule_is_excluded_everywhere_that_no_migration_breaks(tmp_path: Path, rule: str) -> None:
    nothing = tmp_path / "nothing.toml"
    nothing.write_text("pg_version = '15.0'\n")
    broken = squawk(script(tmp_path, "upgrade", revisions()[0]), "--config", str(nothing))
    assert rule in {each["rule_name"] for each in broken}


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("CREATE INDEX on_titles ON jobs (title);", "require-concurrent-index-creation"),
        ("ALTER TABLE jobs ADD CONSTRAINT paid CHECK (salary_min > 0);", "constraint-missing-not-valid"),
        ("ALTER TABLE jobs ALTER COLUMN title TYPE varchar(200);", "changing-column-type"),
        ("ALTER TABLE jobs DROP COLUMN title;", "ban-drop-column"),
        ("ALTER TABLE jobs RENAME COLUMN title TO name;", "renaming-column"),
    ],
)
def test_squawk_would_say_when_a_migration_is_not_online(tmp_path: Path, statement: str, rule: str) -> None:
    file = tmp_path / "bad.sql"
    file.write_text(statement)
    assert rule in {each["rule_name"] for each in squawk(file, "--config", str(CONFIGURATION))}
