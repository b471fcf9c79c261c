"""Rows of jobs, applications and notifications, as lines for COPY."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from app.models import APPLICATION_STATUSES
from app.sample_data import words
from app.sample_data.people import NULL, company_of
from app.sample_data.world import DAY, END_MINUTE, World, stream

# One application of so many is shown as a notification, to the employer or to the candidate.
NOTIFIED = 20


def employer_of(world: World, job: int) -> int:
    """The employer of job `job`, both from 1. The known employer has the first; some have more."""
    plan = world.plan
    return 1 if job == 1 else int(plan.employers * ((job * 2654435761 % 2**32) / 2**32) ** 1.4) + 1


def jobs(world: World) -> Iterator[str]:
    """Jobs, with counters that agree with the applications."""
    plan = world.plan
    rng = stream(plan, "jobs")
    size = plan.jobs
    titles = rng.choices([*words.OCCUPATIONS], k=size)
    grades = rng.choices([*words.GRADES], [*words.GRADES.values()], k=size)
    cities = rng.choices([*words.CITIES], [*words.CITIES.values()], k=size)
    types = rng.choices([*words.JOB_TYPE_WEIGHTS], [*words.JOB_TYPE_WEIGHTS.values()], k=size)
    places = rng.choices([*words.LOCATION_TYPE_WEIGHTS], [*words.LOCATION_TYPE_WEIGHTS.values()], k=size)
    for index in range(size):
        number = index + 1
        occupation, grade, city = titles[index], grades[index], cities[index]
        posted = world.job_posted[index]
        applied = world.job_applications[index]
        employer = employer_of(world, number)
        salary = f"{NULL}\t{NULL}"
        if rng.random() < 0.85:
            low = (
                int(words.OCCUPATIONS[occupation] * words.GRADE_PAY[grade] * rng.uniform(0.85, 1.1) / 500)
                * 500
            )
            salary = f"{low}\t{low + 500 * rng.randrange(2, 24)}"
        dates = (
            f"{NULL}\t{NULL}"
            if posted is None
            else f"{world.stamp(posted)}\t{world.stamp(posted + 120 * DAY)}"
        )
        featured = "t" if rng.random() < 0.03 else "f"
        views = applied * rng.randrange(3, 12) + rng.randrange(50)
        created = world.stamp(world.job_created[index])
        yield (
            f"{number}\t{employer}\t{company_of(plan.companies, employer)}\t{grade}{occupation}"
            f"\tWe are looking for a {occupation} in {city}. You join a team that knows its trade and takes"
            f" time to introduce you to it.\tExperience as a {occupation}, reliable and curious"
            f"\tThe daily work of a {occupation}, from planning to handover\t{rng.choice(words.BENEFITS)}"
            f"\t{types[index]}\t{places[index]}\t{world.job_status[index]}\t{city}\t{salary}\tEUR"
            f"\t{featured}\t{views}\t{applied}"
            f"\t{dates}\t{created}\t{created}\n"
        )


def job_applications(world: World) -> Iterator[str]:
    """Applications in the order of time; the id of each is its place in it."""
    rng = stream(world.plan, "job_applications")
    letters = [
        " ".join(parts)
        for parts in product(words.LETTER_OPENINGS, words.LETTER_MIDDLES, words.LETTER_ENDINGS)
    ]
    # Three of ten write one.
    letters += [NULL] * (len(letters) * 7 // 3)
    chosen = rng.choices(letters, k=len(world.applications))
    delays = rng.choices(range(30, 6 * DAY), k=len(world.applications))
    for index, packed in enumerate(world.applications):
        minute, job, candidate, status = world.unpack(packed)
        applied = world.stamp(minute)
        viewed, updated = NULL, applied
        if status:
            viewed = updated = world.stamp(min(minute + delays[index], END_MINUTE))
        yield (
            f"{index + 1}\t{job + 1}\t{candidate + 1}\t{APPLICATION_STATUSES[status]}\t{chosen[index]}"
            f"\t/cv/{candidate + 1}.pdf\t{applied}\t{viewed}\t{updated}\n"
        )


def notifications(world: World) -> Iterator[str]:
    """Some applications, told to the employer while new and to the candidate once something happened."""
    plan = world.plan
    for number, index in enumerate(range(0, len(world.applications), NOTIFIED), start=1):
        minute, job, candidate, status = world.unpack(world.applications[index])
        if status:
            user, kind, title = candidate + 1, "status_change", "News of your application"
            message = f"Your application is now: {APPLICATION_STATUSES[status]}"
        else:
            user, kind, title = (
                plan.candidates + employer_of(world, job + 1),
                "new_application",
                "New application",
            )
            message = "A candidate has applied for your job"
        read = number % 3 != 0
        at = world.stamp(minute)
        read_at = world.stamp(min(minute + 90, END_MINUTE)) if read else NULL
        yield (
            f"{number}\t{user}\t{kind}\t{title}\t{message}\t{job + 1}\t{index + 1}"
            f"\t{'t' if read else 'f'}\t{read_at}\t{at}\n"
        )
