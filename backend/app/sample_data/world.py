"""What happened in the sample world: when jobs were posted, and who applied where and when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cached_property

from app.models import APPLICATION_STATUSES
from app.sample_data.plan import Plan

SPAN_DAYS = 1_000
DAY = 24 * 60
END_MINUTE = SPAN_DAYS * DAY

_TIMES = [f"{(minute // 60 + 12) % 24:02d}:{minute % 60:02d}:00+00" for minute in range(DAY)]
_NOON = DAY // 2

APPLICATION_WEIGHTS = (42, 22, 8, 5, 20, 3)
REJECTED = APPLICATION_STATUSES.index("rejected")
# Of those who were rejected, so many apply for the same job again.
REAPPLYING = 0.05


def stream(plan: Plan, topic: str) -> random.Random:
    """Random numbers for one topic, so that a change to one leaves the rows of the others."""
    return random.Random(f"{plan.seed}:{topic}")  # noqa: S311 - sample data


@dataclass(frozen=True)
class World:
    """Jobs by position (id - 1), applications in the order of time.

    Attributes:
        job_status: a word of `JOB_STATUSES` for each job.
        job_created: the minute of each.
        job_posted: the minute of each, None for a draft.
        job_applications: the number of applications of each.
        applications: (minute, job, candidate, status) packed into one integer each; see `unpack`.

    Minute 0 is `SPAN_DAYS` before the end, which is noon (UTC) of the day before the plan's `until`.
    """

    plan: Plan
    job_status: Sequence[str]
    job_created: Sequence[int]
    job_posted: Sequence[int | None]
    job_applications: Sequence[int]
    applications: Sequence[int]

    @property
    def end(self) -> datetime:
        """The last moment of the sample world."""
        return datetime.combine(self.plan.until - timedelta(days=1), time(12), tzinfo=UTC)

    @cached_property
    def _days(self) -> list[str]:
        start = self.end - timedelta(days=SPAN_DAYS)
        return [(start + timedelta(days=day)).strftime("%Y-%m-%d") for day in range(SPAN_DAYS + 400)]

    def stamp(self, minute: int) -> str:
        """A minute of the sample world as PostgreSQL reads a timestamptz."""
        # Minute 0 is at noon, so the second half of a span of 24 hours is the next day.
        return f"{self._days[(minute + _NOON) // DAY]} {_TIMES[minute % DAY]}"

    def unpack(self, packed: int) -> tuple[int, int, int, int]:
        """(minute, position of the job, position of the candidate, position of the status)."""
        rest, status = divmod(packed, len(APPLICATION_STATUSES))
        rest, candidate = divmod(rest, self.plan.candidates)
        minute, job = divmod(rest, self.plan.jobs)
        return minute, job, candidate, status


def make_world(plan: Plan) -> World:
    """Post the jobs and let the candidates apply."""
    status, created, posted = _post_jobs(plan)
    counts = _share_applications(plan, posted)
    return World(plan, status, created, posted, counts, _apply(plan, posted, counts))


def _post_jobs(plan: Plan) -> tuple[list[str], list[int], list[int | None]]:
    """Published ones are of the last 90 days, the others older; ids follow the time of creation."""
    rng = stream(plan, "post jobs")
    made: list[tuple[int, str]] = []
    for number in range(plan.jobs):
        # Every twentieth is a draft, not one of twenty by chance: a small sample has published jobs too.
        if number % 20 == 19:
            made.append((END_MINUTE - 1 - int(30 * DAY * rng.random()), "draft"))
        elif number == 0 or (chance := rng.random()) < 0.70:
            made.append((END_MINUTE - 120 - int(90 * DAY * rng.random()), "published"))
        elif chance < 0.87:
            made.append((END_MINUTE - int((60 + 300 * rng.random()) * DAY), "closed"))
        else:
            made.append((END_MINUTE - int((240 + 700 * rng.random()) * DAY), "archived"))
    made.sort()
    posted: list[int | None] = [
        None if status == "draft" else min(created + rng.randrange(60), END_MINUTE)
        for created, status in made
    ]
    return [status for _, status in made], [created for created, _ in made], posted


def _share_applications(plan: Plan, posted: Sequence[int | None]) -> list[int]:
    """Applications for each job: most get a few, some hundreds, very few thousands (Pareto)."""
    rng = stream(plan, "share applications")
    weights = [0.0 if minute is None else rng.paretovariate(1.15) for minute in posted]
    scale = plan.applications / sum(weights)
    most = plan.most_applications_of_a_job
    counts = [min(int(weight * scale), most) for weight in weights]
    missing = plan.applications - sum(counts)
    open_jobs = [job for job, minute in enumerate(posted) if minute is not None]
    while missing:
        for job in rng.sample(open_jobs, min(missing, len(open_jobs))):
            if counts[job] < most:
                counts[job] += 1
                missing -= 1
    return counts


def _apply(plan: Plan, posted: Sequence[int | None], counts: Sequence[int]) -> list[int]:
    """All applications, packed, in the order of time. Nobody has two live ones for one job."""
    rng = stream(plan, "apply")
    chance = rng.random
    statuses = rng.choices(range(len(APPLICATION_STATUSES)), APPLICATION_WEIGHTS, k=plan.applications)
    kinds = len(APPLICATION_STATUSES)
    packed: list[int] = []
    for job, count in enumerate(counts):
        first = posted[job]
        if not count or first is None:
            continue
        # Most apply in the first weeks; a closed job took applications for 60 days.
        window = min(60 * DAY, END_MINUTE - first)
        taken: set[int] = set()
        made = 0
        while made < count:
            # Some candidates apply far more often than others.
            candidate = int(plan.candidates * chance() ** 1.3)
            if candidate in taken:
                continue
            taken.add(candidate)
            minute = first + int(window * chance() ** 2)
            status = statuses[len(packed)]
            packed.append(((minute * plan.jobs + job) * plan.candidates + candidate) * kinds + status)
            made += 1
            if status == REJECTED and made < count and chance() < REAPPLYING:
                again = minute + int((END_MINUTE - minute) * chance())
                status = statuses[len(packed)]
                packed.append(((again * plan.jobs + job) * plan.candidates + candidate) * kinds + status)
                made += 1
    packed.sort()
    return packed
