"""What a person may give as a target, and what is said of the rest."""

from __future__ import annotations

import pytest
from toolbox.targets import TargetError, parse


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2026-01-06 12:00:00+00", "2026-01-06 12:00:00+00:00"),
        ("2026-01-06 13:00:00.5+01", "2026-01-06 12:00:00.500000+00:00"),
        ("2026-01-06T12:00:00Z", "2026-01-06 12:00:00+00:00"),
    ],
)
def test_moment_is_taken_with_its_zone(given: str, moment: str) -> None:
    assert parse("time", given).value == moment


def test_latest_is_no_moment() -> None:
    assert parse("time", "latest").kind == "latest"


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("time", "2026-01-06 12:00:00", "has no zone: write it, such as '2026-01-06 12:00:00+00' for UTC"),
        ("time", "yesterday", "write date, time and zone, such as '2026-01-06 12:00:00+00', or latest"),
        ("xid", "twelve", "a whole number from 3 to 4294967295"),
        ("xid", "2", "a whole number from 3 to 4294967295"),
        ("lsn", "5000098", "two hexadecimal numbers such as 0/5000098"),
        ("name", "", "a name of 1 to 63 bytes"),
        ("name", "n" * 64, "a name of 1 to 63 bytes"),
    ],
)
def test_what_is_no_target_is_told_what_is_one(kind: str, given: str, said: str) -> None:
    with pytest.raises(TargetError) as refused:
        parse(kind, given)
    assert repr(given) in str(refused.value)
    assert said in str(refused.value)


def test_restore_point_has_no_edge_to_leave_out() -> None:
    with pytest.raises(TargetError, match="there is nothing to leave out"):
        parse("name", "before the import", exclusive=True)


@pytest.mark.parametrize(("exclusive", "inclusive"), [(False, "on"), (True, "off")])
def test_recovery_pauses_at_the_target_to_be_looked_at(exclusive: bool, inclusive: str) -> None:
    assert parse("xid", "754", exclusive=exclusive).settings() == {
        "recovery_target_xid": "754",
        "recovery_target_inclusive": inclusive,
        "recovery_target_action": "pause",
    }
