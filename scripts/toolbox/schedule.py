"""When cron begins something: the last time at which it should have."""

from __future__ import annotations

from datetime import datetime, timedelta

# minute, hour, day of the month, month, day of the week
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
# 29 February, on a certain day of the week, is at most 40 years away; nothing here waits for that.
DAYS_BACK = 366 * 4


def last_due(schedule: str, before: datetime) -> datetime | None:
    """The last moment at or before `before` at which cron's five fields begin it; None without any in four years.

    As cron(8) has it: where day of the month and day of the week are both given, either will do.

    Raises:
        ValueError: these are not five fields of digits, "*", ",", "/" and "-".
    """
    fields = schedule.split()
    if len(fields) != len(RANGES):
        raise ValueError(f"{schedule!r} has not the five fields of cron")
    minutes, hours, days, months, weekdays = (
        _values(field, lowest, highest) for field, (lowest, highest) in zip(fields, RANGES, strict=True)
    )
    weekdays = {day % 7 for day in weekdays}
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    times = sorted(((hour, minute) for hour in hours for minute in minutes), reverse=True)
    day = before.replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(DAYS_BACK):
        in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and ((in_month or in_week) if either else (in_month and in_week)):
            for hour, minute in times:
                moment = day.replace(hour=hour, minute=minute)
                if moment <= before:
                    return moment
        day -= timedelta(days=1)
    return None


def _values(field: str, lowest: int, highest: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        begin = lowest if first == "*" else int(first)
        # A lone number with a step goes on to the end: cron has 5/15 for 5-59/15.
        end = int(last) if last else highest if first == "*" or step else begin
        if not lowest <= begin <= end <= highest:
            raise ValueError(f"{field!r} is not within {lowest} to {highest}")
        found |= set(range(begin, end + 1, int(step or 1)))
    return found
