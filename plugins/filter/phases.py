"""Filter phase_seconds: how long each phase of a deploy took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: phase_seconds
short_description: How long each phase of a deploy took, in seconds
description: From the moments at which the phases began, and the moment at which the last one ended.
author: The bundle's maintainers
options:
  _input:
    description: When each phase began, in seconds since the epoch, by its name.
    type: dict
    required: true
  end:
    description: When the last one ended, in seconds since the epoch.
    type: float
    required: true
"""


def phase_seconds(began: Mapping[str, float], end: float) -> dict[str, float]:
    """Return the seconds by phase, in the order in which they began, with one decimal."""
    ordered = sorted(began.items(), key=lambda phase: phase[1])
    ends = [*(moment for _, moment in ordered), end][1:]
    return {name: round(until - moment, 1) for (name, moment), until in zip(ordered, ends, strict=True)}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"phase_seconds": phase_seconds}
