"""How long each phase of a deploy took."""

from __future__ import annotations

from phases import phase_seconds


def test_a_phase_ends_where_the_next_one_begins() -> None:
    assert phase_seconds({"prepare": 100.0, "migrate": 104.5, "activate": 110.04}, 112.0) == {
        "prepare": 4.5,
        "migrate": 5.5,
        "activate": 2.0,
    }


def test_phases_come_in_the_order_in_which_they_began() -> None:
    assert list(phase_seconds({"b": 2.0, "a": 1.0}, 3.0)) == ["a", "b"]


def test_a_deploy_that_began_none_has_none() -> None:
    assert phase_seconds({}, 1.0) == {}
