"""The words of closed sets as types, and where an application may go."""

from __future__ import annotations

from typing import Literal

LocationType = Literal["on_site", "remote", "hybrid"]
JobType = Literal["full_time", "part_time", "contract", "temporary", "internship"]
JobStatus = Literal["draft", "published", "closed", "archived"]
ApplicationStatus = Literal["applied", "viewed", "shortlisted", "interview", "rejected", "accepted"]

# From each status, the usual way first.
NEXT_STATUSES: dict[str, tuple[ApplicationStatus, ...]] = {
    "applied": ("viewed", "rejected"),
    "viewed": ("shortlisted", "rejected"),
    "shortlisted": ("interview", "rejected"),
    "interview": ("accepted", "rejected"),
    "accepted": (),
    "rejected": (),
}
