"""The module deploy_record: the pair to go back to, and a log whose lines are whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from deploy_record import next_record
from hypothesis import given
from hypothesis import strategies as st
from real_module import answer, run, start

A, B = {"release": "aaa", "revision": "1"}, {"release": "bbb", "revision": "2"}
PAIRS = st.fixed_dictionaries({"release": st.sampled_from("abc"), "revision": st.sampled_from("123")})


def record(directory: Path, pair: dict[str, str], outcome: str = "deployed", **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = run("deploy_record", **options(directory, pair, outcome), **more)
    return said


def options(directory: Path, pair: dict[str, str], outcome: str = "deployed", **more: Any) -> dict[str, Any]:
    return {
        "record": str(directory / "record.json"),
        "log": str(directory / "log/deploys.jsonl"),
        "entry": {**pair, "outcome": outcome, **more},
    }


def log(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "log/deploys.jsonl").read_text().splitlines()]


def on_disk(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "record.json").read_text()))


def test_first_deploy_has_no_previous_pair(tmp_path: Path) -> None:
    record(tmp_path, A)
    assert on_disk(tmp_path) == {"pair": A, "previous": None}


def test_previous_pair_is_the_one_that_served_before(tmp_path: Path) -> None:
    record(tmp_path, A)
    record(tmp_path, B)
    assert on_disk(tmp_path) == {"pair": B, "previous": A}


def test_deploying_the_same_pair_again_keeps_the_previous_one(tmp_path: Path) -> None:
    for pair in (A, B, B):
        record(tmp_path, pair)
    assert on_disk(tmp_path) == {"pair": B, "previous": A}
    assert len(log(tmp_path)) == 3


@given(st.lists(PAIRS, min_size=1))
def test_previous_pair_is_the_newest_other_than_the_present_one(pairs: list[dict[str, str]]) -> None:
    after: dict[str, Any] = {}
    for pair in pairs:
        after = next_record(after, {**pair, "outcome": "deployed"})
    distinct = [pair for index, pair in enumerate(pairs) if index == 0 or pair != pairs[index - 1]]
    assert after == {"pair": distinct[-1], "previous": distinct[-2] if len(distinct) > 1 else None}


def test_failed_deploy_is_logged_and_leaves_the_record_alone(tmp_path: Path) -> None:
    record(tmp_path, A)
    before = (tmp_path / "record.json").stat().st_ctime_ns
    answer(start("deploy_record", options(tmp_path, B, "failed", error="no space")))
    assert (tmp_path / "record.json").stat().st_ctime_ns == before
    assert [(entry["outcome"], entry.get("error")) for entry in log(tmp_path)] == [
        ("deployed", None),
        ("failed", "no space"),
    ]


def test_failed_first_deploy_makes_no_record(tmp_path: Path) -> None:
    record(tmp_path, A, "failed")
    assert not (tmp_path / "record.json").exists()


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    done = record(tmp_path, A, _ansible_check_mode=True)
    assert done["record"] == {"pair": A, "previous": None}
    assert list(tmp_path.iterdir()) == []


def test_lines_stay_whole_when_many_write_at_once(tmp_path: Path) -> None:
    # Longer than a pipe's and Python's buffers, as the text of a failed migration may be.
    running = [
        start("deploy_record", options(tmp_path, A, "failed", error=f"{number}" * 100_000))
        for number in range(8)
    ]
    for process in running:
        answer(process)
    assert sorted(entry["error"][0] for entry in log(tmp_path)) == list("01234567")


def test_line_after_one_that_was_cut_off_is_whole(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/deploys.jsonl").write_text('{"outcome": "depl')
    record(tmp_path, A)
    lines = (tmp_path / "log/deploys.jsonl").read_text().splitlines()
    assert lines[0] == '{"outcome": "depl'
    assert json.loads(lines[1])["release"] == "aaa"


def test_text_of_several_lines_is_one_line_of_the_log(tmp_path: Path) -> None:
    answer(start("deploy_record", options(tmp_path, A, "failed", error="one\ntwo\u2028é")))
    assert len((tmp_path / "log/deploys.jsonl").read_bytes().splitlines()) == 1
    assert log(tmp_path)[0]["error"] == "one\ntwo\u2028é"


@pytest.mark.parametrize("missing", ["release", "revision"])
def test_entry_without_its_pair_is_refused(tmp_path: Path, missing: str) -> None:
    done = record(tmp_path, {key: value for key, value in A.items() if key != missing})
    assert done["failed"]
    assert f"The entry has no {missing}" in done["msg"]
    assert list(tmp_path.iterdir()) == []


def test_damaged_record_is_named_and_the_deploy_is_logged_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("")
    done = record(tmp_path, A)
    assert done["failed"]
    assert f"{tmp_path}/record.json is damaged" in done["msg"]
    assert log(tmp_path)[0]["release"] == "aaa"


def hold(directory: Path, to: dict[str, str], from_: dict[str, str]) -> dict[str, Any]:
    """The record once a rollback to a pair has begun."""
    run("deploy_record", **options(directory, to, "held", **{"from": from_["release"], "by": "ada"}))
    return on_disk(directory)


def rolled_back(directory: Path) -> dict[str, Any]:
    """The record after a rollback from B to A."""
    record(directory, A)
    record(directory, B)
    hold(directory, A, B)
    record(directory, A, "rolled back")
    return on_disk(directory)


def test_a_hold_is_there_before_anything_moves(tmp_path: Path) -> None:
    record(tmp_path, A)
    record(tmp_path, B)
    found = hold(tmp_path, A, B)
    assert (found["pair"], found["previous"]) == (B, A)
    assert (found["hold"]["pair"], found["hold"]["refused"], found["hold"]["by"]) == (A, ["bbb"], "ada")


def test_a_rollback_moves_the_pair_and_keeps_the_hold(tmp_path: Path) -> None:
    found = rolled_back(tmp_path)
    assert (found["pair"], found["previous"], found["hold"]["refused"]) == (A, B, ["bbb"])


def test_a_schema_that_stayed_is_what_is_held(tmp_path: Path) -> None:
    record(tmp_path, A)
    record(tmp_path, B)
    hold(tmp_path, A, B)
    stayed = {"release": "aaa", "revision": "2"}
    record(tmp_path, stayed, "rolled back")
    assert on_disk(tmp_path)["hold"]["pair"] == stayed


def test_a_rollback_of_a_rollback_refuses_the_other_release(tmp_path: Path) -> None:
    rolled_back(tmp_path)
    hold(tmp_path, B, A)
    record(tmp_path, B, "rolled back")
    found = on_disk(tmp_path)
    assert (found["pair"], found["previous"], found["hold"]["refused"]) == (B, A, ["aaa"])


def test_two_rollbacks_refuse_what_both_left(tmp_path: Path) -> None:
    record(tmp_path, A)
    rolled_back(tmp_path)
    assert hold(tmp_path, {"release": "old", "revision": "0"}, A)["hold"]["refused"] == ["aaa", "bbb"]


def test_deploying_the_held_release_keeps_the_hold(tmp_path: Path) -> None:
    rolled_back(tmp_path)
    record(tmp_path, A)
    assert on_disk(tmp_path)["hold"]["refused"] == ["bbb"]


def test_deploying_another_release_ends_the_hold(tmp_path: Path) -> None:
    rolled_back(tmp_path)
    record(tmp_path, {"release": "ccc", "revision": "3"})
    assert "hold" not in on_disk(tmp_path)


def test_a_hold_that_is_lifted_is_gone_and_the_pair_stays(tmp_path: Path) -> None:
    rolled_back(tmp_path)
    record(tmp_path, A, "lifted")
    assert on_disk(tmp_path) == {"pair": A, "previous": B}


@pytest.mark.parametrize("before", [None, {"pair": A, "refused": ["bbb"], "by": None, "at": "then"}])
def test_a_rollback_that_failed_leaves_the_hold_of_before(
    tmp_path: Path, before: dict[str, Any] | None
) -> None:
    record(tmp_path, A)
    record(tmp_path, B)
    hold(tmp_path, A, B)
    run("deploy_record", **options(tmp_path, A, "failed", hold_before=before or {}, error="not ready"))
    found = on_disk(tmp_path)
    assert (found["pair"], found.get("hold")) == (B, before)


def test_without_an_entry_the_record_is_only_read(tmp_path: Path) -> None:
    record(tmp_path, A)
    before = log(tmp_path)
    done = run("deploy_record", record=str(tmp_path / "record.json"), log=str(tmp_path / "log/deploys.jsonl"))
    assert (done["changed"], done["record"]) == (False, {"pair": A, "previous": None})
    assert log(tmp_path) == before


def test_an_outcome_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    done = record(tmp_path, A, "half done")
    assert "it is one of deployed, rolled back, failed, held, lifted" in done["msg"]
    assert not (tmp_path / "record.json").exists()
