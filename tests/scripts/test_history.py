"""scripts/history: the deployment log as a table, as JSON and as a page."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from scripts.support import deployments
from scripts.support.paths import ROOT

DEPLOYED = {
    "at": "2026-01-06T12:00:00+00:00",
    "outcome": "deployed",
    "release": "bbb222",
    "from": "aaa111",
    "revision": "h8c2d6e5f4g3",
    "by": "ada",
    "ref": "v1.4",
    "commit": "0123456789abcdef",
    "seconds": {"prepare": 4.2, "migrate": 1.1, "activate": 3.0},
    "migrations": [{"revision": "h8c2d6e5f4g3", "message": "critical <indexes>", "seconds": 1.0}],
}
FAILED = {
    "at": "2026-01-06T13:00:00+00:00",
    "outcome": "failed",
    "release": "ccc333",
    "revision": None,
    "error": "x\n" * 80,
}


def test_the_table_has_a_line_for_each_entry() -> None:
    head, deployed, failed = deployments.table([DEPLOYED, FAILED]).splitlines()
    assert head.split("  ")[0] == "when (UTC)"
    assert deployed.split() == [
        "2026-01-06",
        "12:00:00",
        "deployed",
        "bbb222",
        "aaa111",
        "h8c2d6e5f4g3",
        "ada",
        "8",
    ]
    assert failed.endswith("…")


def test_json_is_the_log_itself() -> None:
    assert json.loads(deployments.render([DEPLOYED, FAILED], "json", "local")) == [DEPLOYED, FAILED]


def test_the_page_shows_the_newest_first_and_escapes_what_people_wrote() -> None:
    page = deployments.render([DEPLOYED, FAILED], "html", "production")
    assert page.index("ccc333") < page.index("bbb222")
    assert "critical &lt;indexes&gt;" in page
    assert "<indexes>" not in page


@pytest.mark.parametrize("entry", [{}, {"outcome": "held", "release": "a", "revision": "b"}])
@pytest.mark.parametrize("form", ["table", "json", "html"])
def test_an_entry_of_an_older_version_is_shown_too(entry: dict[str, str], form: str) -> None:
    assert deployments.render([entry], form, "local")


def test_half_a_line_is_passed_over() -> None:
    assert deployments.parse(json.dumps(DEPLOYED) + '\n{"outcome": "depl') == [DEPLOYED]


def test_an_inventory_that_does_not_exist_is_answered_with_those_that_do() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "history", "nowhere"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no inventory 'nowhere'" in done.stderr
    assert "inventories: local, production, staging" in done.stderr
