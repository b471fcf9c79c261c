"""What a rehearsal comes to by the policy, and what its report says and keeps to itself."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from real_module import ROOT, run
from rehearsal_report import KEEP, ReportError, keep, report

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
SECRET = "ada@example.com"
POLICY = {
    "unrestored_schema": "refuse",
    "lossy_downgrade": "refuse",
    "dropped_by_downgrade": "warn",
    "exclusive_lock": "refuse",
    "table_rewrite": "refuse",
    "old_release": "refuse",
    "squawk": "refuse",
}
CLONE = {"backup": "20261126-020000F", "bytes": 5_242_880, "seconds": {"restore": 3.0}, "revision": "a1"}
GOOD = {
    "release": "0123456789ab",
    "answers": [{"path": "/health/ready", "status": 200, "seconds": 0.01}],
    "wrong": "",
    "said": "",
}


def ran(**more: Any) -> dict[str, Any]:
    """A migration in one direction."""
    return {"seconds": 0.5, "locks": [], "rewritten": [], "written": [], "failed": None, **more}


def lock(seconds: float, mode: str = "AccessExclusiveLock") -> dict[str, Any]:
    """A lock on a table."""
    return {"relation": "public.users", "kind": "r", "mode": mode, "seconds": seconds}


def failure(sqlstate: str) -> dict[str, Any]:
    """A failure, with a row in what PostgreSQL said."""
    return {"sqlstate": sqlstate, "kind": "IntegrityError", "location": "b2.py:11", "said": f"Key ({SECRET})"}


def step(**more: Any) -> dict[str, Any]:
    """A migration that is as good as can be."""
    return {
        "revision": "b2",
        "message": "add emails",
        "up": ran(),
        "down": ran(),
        "again": ran(),
        "irreversible": False,
        "not_restored": [],
        "sql": "SELECT 1;",
        "not_renderable": False,
        "drops": {"tables": [], "columns": {}},
        **more,
    }


def measured(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a rehearsal measured."""
    return {
        "before": "a1",
        "after": "b2",
        "ended": "done",
        "revisions": list(steps),
        "undone": len(steps),
        "rows": {"tables": 1, "rows": 3, "unreadable": [], "compared": True, "changed": []},
        "again_differs": [],
        "resolution_seconds": 0.02,
        **more,
    }


@pytest.fixture
def judge(tmp_path: Path) -> Any:
    """Judge what was measured, as a deploy does."""

    def judged(found: dict[str, Any], smoke: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        options = {
            "release": "f00dfeedcafe",
            "measured": found,
            "smoke": GOOD if smoke is None else smoke,
            "clone": CLONE,
            "policy": POLICY,
            "lock_seconds": 2,
            "rewrite_mb": 1,
            "squawk": str(Path(sys.executable).with_name("squawk")),
            "squawk_config": None,
            "directory": str(tmp_path / "reports"),
            "template": str(ROOT / "templates/rehearsal.html.j2"),
            **more,
        }
        return report(options, NOON)

    return judged


# Each a finding, how it is measured, and the words that a person needs: what, where, how much, how much is allowed.
FINDINGS = {
    "exclusive_lock": (
        {"revisions": [step(up=ran(locks=[lock(3.25)]))]},
        ['b2 ("add emails")', "ACCESS EXCLUSIVE on public.users for 3.25 s", "2 s are allowed"],
    ),
    "table_rewrite": (
        {"revisions": [step(up=ran(rewritten=[{"table": "public.users", "bytes": 2 * 1024**2}]))]},
        ["writes public.users anew, 2.0 MB", "1 MB are allowed"],
    ),
    "unrestored_schema": (
        {"revisions": [step(not_restored=["+    email text"])]},
        ["does not bring the schema back", "+    email text"],
    ),
    "lossy_downgrade": (
        {
            "rows": {
                "tables": 1,
                "rows": 3,
                "unreadable": [],
                "compared": True,
                "changed": [{"table": "public.users", "what": "has other values", "revisions": ["b2"]}],
            }
        },
        ["b2: after its downgrade() public.users has other values"],
    ),
    "dropped_by_downgrade": (
        {"revisions": [step(drops={"tables": ["later"], "columns": {"users": ["email"]}})]},
        ["drops or overwrites later, users (email)"],
    ),
    "squawk": (
        {"revisions": [step(sql="CREATE INDEX on_name ON users (name);")]},
        ["require-concurrent-index-creation"],
    ),
}


@pytest.mark.parametrize("action", ["refuse", "warn", "ignore"])
@pytest.mark.parametrize("kind", FINDINGS)
def test_finding_comes_to_what_the_policy_says(judge: Any, kind: str, action: str) -> None:
    found, words = FINDINGS[kind]
    allowed = dict.fromkeys(POLICY, "ignore")
    result = judge({**measured(step()), **found}, policy=allowed | {kind: action})
    assert result["refused"] is (action == "refuse")
    told = all(word in result["summary"] for word in words)
    assert told is (action != "ignore"), result["summary"]


def test_older_release_that_does_not_answer_on_the_new_schema_is_refused_and_named(judge: Any) -> None:
    bad = GOOD | {"wrong": "/api/jobs is answered with 500", "said": f"no column title for {SECRET}"}
    result = judge(measured(step()), bad)
    assert result["refused"]
    assert (
        "release 0123456789ab, which serves, does not live with the new schema: /api/jobs"
        in result["summary"]
    )


def test_older_release_that_could_not_be_asked_is_not_taken_for_one_that_lives(judge: Any) -> None:
    policy = dict.fromkeys(POLICY, "ignore") | {"old_release": "refuse"}
    again = measured(step(again=ran(failed=failure("42701"))), ended="again")
    assert judge(again, {}, policy=policy)["refused"]


def test_migration_that_fails_is_refused_whatever_the_policy(judge: Any) -> None:
    broken = measured(step(up=ran(failed=failure("23505")), down=None, again=None), ended="up")
    result = judge(broken, {}, policy=dict.fromkeys(POLICY, "ignore"))
    assert result["refused"]
    assert "it fails on the live data: IntegrityError (SQLSTATE 23505) in b2.py:11" in result["summary"]


@pytest.mark.parametrize("seconds", [2.0, 0.0])
def test_lock_within_the_limit_is_no_finding(judge: Any, seconds: float) -> None:
    assert not judge(measured(step(up=ran(locks=[lock(seconds)]))))["refused"]


def test_weaker_lock_may_be_held_for_long(judge: Any) -> None:
    assert not judge(measured(step(up=ran(locks=[lock(100, "ShareUpdateExclusiveLock")]))))["refused"]


def test_rule_that_the_product_lists_for_a_revision_is_allowed_to_that_one(
    judge: Any, tmp_path: Path
) -> None:
    config = tmp_path / ".squawk.toml"
    config.write_text('pg_version = "15.0"\n[upgrade]\nb2 = ["require-concurrent-index-creation"]\n')
    index = (
        "SET lock_timeout = '1s'; SET statement_timeout = '1s'; CREATE INDEX IF NOT EXISTS i ON users (name);"
    )
    assert not judge(measured(step(sql=index)), squawk_config=str(config))["refused"]
    assert judge(measured(step(sql=index, revision="c3")), squawk_config=str(config))["refused"]


def test_report_has_what_was_measured_and_neither_rows_nor_postgresql_s_words(judge: Any) -> None:
    bad = GOOD | {"wrong": "it ended by itself", "said": f"no row {SECRET}"}
    steps = step(
        up=ran(locks=[lock(3.25)], failed=failure("23505")), sql=f"INSERT INTO users VALUES ('{SECRET}')"
    )
    result = judge(measured(steps), bad)
    page = Path(result["page"])
    texts = [page.read_text(), page.with_suffix(".json").read_text()]
    assert [SECRET in text for text in texts] == [False, False]
    assert SECRET in result["summary"]
    assert all(word in texts[0] for word in ("refused", "AccessExclusiveLock", "3.25 s", "SQLSTATE 23505"))
    told = json.loads(texts[1])
    assert (told["level"], told["measured"]["revisions"][0]["up"]["locks"][0]["seconds"]) == ("refuse", 3.25)


def test_page_escapes_what_was_found(judge: Any) -> None:
    result = judge(measured(step(message="<b>bold</b>")))
    assert "&lt;b&gt;bold&lt;/b&gt;" in Path(result["page"]).read_text()


def test_clean_rehearsal_passes_in_one_line(judge: Any) -> None:
    result = judge(measured(step()))
    assert result["says"] == (
        "1 migration of release f00dfeedcafe on 5 MB from 20261126-020000F: 0.5 s; passed"
    )


def test_unknown_word_of_the_policy_is_refused_with_what_is_allowed(judge: Any) -> None:
    with pytest.raises(ReportError, match="on_squawk is 'maybe'; it is one of refuse, warn, ignore"):
        judge(measured(step()), policy={"squawk": "maybe"})


def test_missing_squawk_is_an_error_that_says_what_to_do(judge: Any) -> None:
    with pytest.raises(ReportError, match=r"/nowhere/squawk cannot be run.*requirements\.lock"):
        judge(measured(step()), squawk="/nowhere/squawk")


def test_newest_reports_are_kept(tmp_path: Path) -> None:
    for number in range(KEEP + 2):
        keep(tmp_path, f"rehearsal-{number:03}", "<p>", {})
    pages = sorted(path.name for path in tmp_path.iterdir())
    assert (len(pages), pages[0]) == (2 * KEEP, "rehearsal-002.html")


def test_module_takes_what_ansible_hands_over(tmp_path: Path) -> None:
    result = run(
        "rehearsal_report",
        release="f00dfeedcafe",
        measured=measured(step(), changed=False, failed=False),
        smoke=GOOD,
        clone=CLONE,
        policy={},
        lock_seconds=2,
        rewrite_mb=1,
        squawk=str(Path(sys.executable).with_name("squawk")),
        squawk_config="",
        directory=str(tmp_path),
        template=str(ROOT / "templates/rehearsal.html.j2"),
    )
    assert (result["changed"], result["refused"]) == (False, False)
