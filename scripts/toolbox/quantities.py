"""Sizes, times and shares as people write them: 10MB, 5min, 80%."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from toolbox.output import size_text, time_text

SIZES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
TIMES = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
EXAMPLES = {"bytes": "512kB, 10MB, 2GB", "seconds": "500ms, 30s, 5min, 2h, 7d", "percent": "80% or 80"}


def parse_size(text: str) -> int:
    """Bytes. ValueError says what is allowed."""
    return int(_with_unit(text, SIZES, "bytes"))


def parse_time(text: str) -> float:
    """Seconds. ValueError says what is allowed."""
    return _with_unit(text, TIMES, "seconds")


def parse_percent(text: str) -> float:
    """A number, 80 for 80 %. ValueError says what is allowed."""
    return _number(text.strip().removesuffix("%"), f"a share like {EXAMPLES['percent']}")


def parse_number(text: str) -> float:
    """A number that is not negative. ValueError says what is allowed."""
    return _number(text, "a number that is not negative")


def _with_unit(text: str, units: dict[str, float] | dict[str, int], kind: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    # Only nothing needs no unit.
    if found and (found[2] in units or (not found[2] and not float(found[1]))):
        return float(found[1]) * units.get(found[2], 1)
    raise ValueError(f"{text!r} is no number of {kind} with its unit, like {EXAMPLES[kind]}")


def _number(text: str, allowed: str) -> float:
    if re.fullmatch(r"\d+(?:\.\d+)?", text.strip()):
        return float(text)
    raise ValueError(f"{text!r} is not {allowed}")


@dataclass(frozen=True)
class Unit:
    """How a value is read from an option, and how it is said."""

    parse: Callable[[str], float]
    text: Callable[[float], str]
    example: str


UNITS = {
    "percent": Unit(parse_percent, lambda value: f"{value:.3g} %", "80,95"),
    "seconds": Unit(parse_time, time_text, "5min,1h"),
    "bytes": Unit(parse_size, size_text, "1GB,10GB"),
    "count": Unit(parse_number, lambda value: f"{value:,.3g}", "5,50"),
}


@dataclass(frozen=True)
class Limits:
    """From where on a value is a warning, and from where on it is critical; None is never."""

    warning: float | None
    critical: float | None
    unit: str
    # Whether small values are the bad ones.
    falling: bool = False

    def __post_init__(self) -> None:
        if self.warning is None or self.critical is None or self.warning == self.critical:
            return
        if (self.warning > self.critical) != self.falling:
            order = "above" if self.falling else "below"
            raise ValueError(f"the warning ({self.say(self.warning)}) has to be {order} the critical limit")

    def level(self, value: float) -> str:
        """`ok`, `warning` or `critical`."""
        for name, limit in (("critical", self.critical), ("warning", self.warning)):
            if limit is not None and (value < limit if self.falling else value >= limit):
                return name
        return "ok"

    def say(self, value: float) -> str:
        """A value in the words of its unit."""
        return UNITS[self.unit].text(value)

    @property
    def text(self) -> str:
        """Both limits, for help and messages."""
        word = "below" if self.falling else "from"
        both = (("warning", self.warning), ("critical", self.critical))
        return ", ".join(
            f"{name} {word} {self.say(limit)}" if limit is not None else f"never {name}"
            for name, limit in both
        )

    def parse(self, text: str) -> Limits:
        """Limits of the same kind from `WARNING,CRITICAL`, with `never` for none. ValueError says what is allowed."""
        parts = [part.strip() for part in text.split(",")]
        unit = UNITS[self.unit]
        if len(parts) != 2:
            raise ValueError(
                f"{text!r} is not WARNING,CRITICAL, like {unit.example} or {parts[0] or 5},never"
            )
        warning, critical = (None if part == "never" else unit.parse(part) for part in parts)
        return Limits(warning, critical, self.unit, self.falling)
