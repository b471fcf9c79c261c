"""What squawk says of the SQL that each migration renders: nothing but what .squawk.toml has a reason for."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness.migrations import BACKEND, online_revisions, parent_of, rendered

CONFIGURATION = BACKEND / ".squawk.toml"
RULES = tomllib.loads(CONFIGURATION.read_text())
BOTH_WAYS = RULES["excluded_rules"]
DOWNGRADE = RULES["downgrade"]["excluded_rules"]
NO_RULES = "pg_version = '15.0'\n"


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


@pytest.fixture(scope="module")
def found_without_rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The rules that are broken when none is excluded, by direction."""
    directory = tmp_path_factory.mktemp("squawk")
    nothing = directory / "nothing.toml"
    nothing.write_text(NO_RULES)
    return {
        direction: {
            each["rule_name"]
            for revision in online_revisions()
            for each in squawk(script(directory, direction, revision), "--config", str(nothing))
        }
        for direction in ("upgrade", "downgrade")
    }


@pytest.mark.parametrize("revision", online_revisions())
@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
def test_squawk_finds_nothing_to_say(tmp_path: Path, direction: str, revision: str) -> None:
    # What is given here takes the place of the file's own list.
    rules = [*BOTH_WAYS, *DOWNGRADE] if direction == "downgrade" else BOTH_WAYS
    excluded = f"--exclude={','.join(rules)}"
    found = squawk(script(tmp_path, direction, revision), "--config", str(CONFIGURATION), excluded)
    assert [f"line {each['line']}: {each['rule_name']}: {each['message']}" for each in found] == []


@pytest.mark.parametrize("rule", BOTH_WAYS)
def test_no_rule_is_excluded_that_no_migration_breaks(
    found_without_rules: dict[str, set[str]], rule: str
) -> None:
    assert rule in found_without_rules["upgrade"]


@pytest.mark.parametrize("rule", DOWNGRADE)
def test_no_rule_is_excluded_for_downgrades_that_none_breaks(
    found_without_rules: dict[str, set[str]], rule: str
) -> None:
    assert rule in found_without_rules["downgrade"]


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
