"""Input that cannot work is refused before anything is touched, all of it at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared import fingerprint
from shared.landscape import Landscape
from shared.playbook import Playbook, Run

BAD: dict[str, Any] = {
    "pgbouncer_default_pool_size": 120,
    "vault_jwt_secret": "secret",
    "release_ref": "v9.9",
}


@pytest.fixture(scope="module", params=["site.yml", "playbooks/deploy.yml"])
def refused(
    request: pytest.FixtureRequest, playbook: Playbook, landscape: Landscape
) -> tuple[Run, list[str]]:
    """A run with bad input, and what is different on the hosts after it."""
    before = fingerprint.everything(landscape)
    run = playbook.run(request.param, seconds=120, **BAD)
    return run, fingerprint.differences(before, fingerprint.everything(landscape))


def test_bad_input_stops_the_run_and_touches_nothing(refused: tuple[Run, list[str]]) -> None:
    run, differences = refused
    assert run.status != 0
    assert run.changed == []
    assert differences == []


def test_bad_input_is_reported_in_one_list(refused: tuple[Run, list[str]]) -> None:
    report = (
        refused[0]
        .output.partition("3 problems found before anything was touched:")[2]
        .partition("Origin:")[0]
    )
    numbered = re.findall(r"^ +(\d)\. \w+: \w+: (\w+) = ", report, re.MULTILINE)
    assert [number for number, _ in numbered] == ["1", "2", "3"]
    assert {name for _, name in numbered} == set(BAD)


@pytest.mark.parametrize("words", ["120 with 5 in reserve", "bundle_max_connections", '"v9.9"'])
def test_a_report_names_the_value_and_what_is_allowed(refused: tuple[Run, list[str]], words: str) -> None:
    assert words in refused[0].output


def test_a_report_keeps_a_secret_to_itself(refused: tuple[Run, list[str]]) -> None:
    line = next(line for line in refused[0].output.splitlines() if "vault_jwt_secret = " in line)
    assert BAD["vault_jwt_secret"] not in line.partition("vault_jwt_secret")[2].split(":")[0]
