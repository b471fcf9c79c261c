"""When cron should have begun something last, against days that can be looked up in a calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from toolbox.schedule import last_due


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "now", "due"),
    [
        ("0 2 * * 0", "2026-11-26 05:00", "2026-11-22 02:00"),  # a Thursday; Sunday is the 22nd
        ("0 2 * * 7", "2026-11-26 05:00", "2026-11-22 02:00"),  # 7 is Sunday too
        ("0 2 * * 1-6", "2026-11-22 12:00", "2026-11-21 02:00"),
        ("0 2 * * 1-6", "2026-11-26 01:59", "2026-11-25 02:00"),
        ("0 2 * * 1-6", "2026-11-26 02:00", "2026-11-26 02:00"),
        ("0 8,14,20 * * *", "2026-11-26 13:59", "2026-11-26 08:00"),
        ("0 8,14,20 * * *", "2026-11-26 07:00", "2026-11-25 20:00"),
        ("*/15 * * * *", "2026-11-26 05:44", "2026-11-26 05:30"),
        ("5/20 4 * * *", "2026-11-26 05:00", "2026-11-26 04:45"),
        ("10-50/20 4 * * *", "2026-11-26 04:49", "2026-11-26 04:30"),
        ("0 3 31 * *", "2026-11-26 05:00", "2026-10-31 03:00"),
        ("0 3 29 2 *", "2026-11-26 05:00", "2024-02-29 03:00"),
        ("0 6 1-7 * *", "2026-11-26 05:00", "2026-11-07 06:00"),
        ("0 6 1 * 1", "2026-11-26 05:00", "2026-11-23 06:00"),  # both given: either will do
        ("0 6 */2 * 1", "2026-11-26 05:00", "2026-11-23 06:00"),  # one with a star: both have to fit
    ],
)
def test_last_due_moment_is_that_of_cron(fields: str, now: str, due: str) -> None:
    assert last_due(fields, at(now)) == at(due)


def test_day_that_never_comes_is_never_due() -> None:
    assert last_due("0 3 31 2 *", at("2026-11-26 05:00")) is None


@pytest.mark.parametrize("fields", ["0 2 * *", "60 2 * * *", "0 24 * * *", "0 2 0 * *", "a 2 * * *"])
def test_what_cron_would_refuse_is_refused(fields: str) -> None:
    with pytest.raises(ValueError):
        last_due(fields, at("2026-11-26 05:00"))
