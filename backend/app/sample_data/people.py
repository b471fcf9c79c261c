"""Rows of users, sign-in, companies, employers, candidates and their profiles, as lines for COPY."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from app.sample_data import words
from app.sample_data.world import DAY, END_MINUTE, World, stream

NULL = r"\N"


def user_created(number: int) -> int:
    """The minute at which user `number` (from 1) came."""
    return END_MINUTE - 720 * DAY - number % (200 * DAY)


def users(world: World) -> Iterator[str]:
    """Candidates, employers, one admin. Nobody has a password: `app.cli token` makes a token."""
    plan = world.plan
    rng = stream(plan, "users")
    for number in range(1, plan.users + 1):
        first, last = rng.choice(words.FIRST_NAMES), rng.choice(words.LAST_NAMES)
        if number <= plan.candidates:
            role, within = "candidate", number
        elif number < plan.users:
            role, within = "employer", number - plan.candidates
        else:
            role, within = "admin", 1
        email = f"{role}@example.com" if within == 1 else f"{role}{within}@example.com"
        # The first of each role is there to be tried with.
        active = "t" if within == 1 or rng.random() < 0.97 else "f"
        at = world.stamp(user_created(number))
        yield f"{number}\t{email}\t{at}\t{first} {last}\t{role}\t{first}\t{last}\t{active}\t{at}\t{at}\n"


def accounts(world: World) -> Iterator[str]:
    """Every fifth user signs in with another provider. No tokens: those are secrets."""
    for number, user in enumerate(range(5, world.plan.users + 1, 5), start=1):
        provider = "google" if number % 3 else "linkedin"
        at = world.stamp(user_created(user))
        yield f"{number}\t{user}\toauth\t{provider}\t{provider}-{user}\tbearer\topenid email\t{at}\t{at}\n"


def sessions(world: World) -> Iterator[str]:
    """One for every fourth user, half of them expired."""
    rng = stream(world.plan, "sessions")
    for number, user in enumerate(range(4, world.plan.users + 1, 4), start=1):
        created = END_MINUTE - int(60 * DAY * rng.random())
        yield (
            f"{number}\t{user}\tsample-session-{number}\t{world.stamp(created + 30 * DAY)}"
            f"\t{world.stamp(created)}\t{world.stamp(created)}\n"
        )


def password_reset_tokens(world: World) -> Iterator[str]:
    """One for every hundredth user, most of them used."""
    for number, user in enumerate(range(100, world.plan.users + 1, 100), start=1):
        created = END_MINUTE - number % (30 * DAY)
        used = NULL if number % 4 == 0 else world.stamp(created + 5)
        good_until, made = world.stamp(created + 60), world.stamp(created)
        yield f"{number}\t{user}\tsample-reset-{number}\t{good_until}\t{used}\t{made}\n"


def verification_tokens(world: World) -> Iterator[str]:
    """One for every fiftieth user."""
    for number, user in enumerate(range(50, world.plan.users + 1, 50), start=1):
        created = END_MINUTE - number % (20 * DAY)
        yield (
            f"{number}\tsample{user}@example.com\tsample-verify-{number}"
            f"\t{world.stamp(created + DAY)}\t{world.stamp(created)}\n"
        )


def companies(world: World) -> Iterator[str]:
    """Companies, in cities as people live there."""
    plan = world.plan
    rng = stream(plan, "companies")
    cities = rng.choices([*words.CITIES], [*words.CITIES.values()], k=plan.companies)
    industries = rng.choices([*words.INDUSTRIES], [*words.INDUSTRIES.values()], k=plan.companies)
    sizes = rng.choices([*words.COMPANY_SIZES], [*words.COMPANY_SIZES.values()], k=plan.companies)
    at = world.stamp(END_MINUTE - 950 * DAY)
    for number in range(1, plan.companies + 1):
        city, industry = cities[number - 1], industries[number - 1]
        name = f"{rng.choice(words.COMPANY_STEMS)} {rng.choice(words.COMPANY_ENDINGS)} {number}"
        yield (
            f"{number}\t{name}\t{industry} in {city}\t{industry}\t{sizes[number - 1]}"
            f"\thttps://company{number}.example.com\t{city}\tFrance\t{at}\t{at}\n"
        )


def company_of(plan_companies: int, employer: int) -> int:
    """The company of employer `employer`, both from 1; the first of each belong together."""
    return (employer - 1) % plan_companies + 1


def employers(world: World) -> Iterator[str]:
    """One or two for each company."""
    plan = world.plan
    for number in range(1, plan.employers + 1):
        user = plan.candidates + number
        company = company_of(plan.companies, number)
        position, admin = ("Head of Recruiting", "t") if number <= plan.companies else ("Recruiter", "f")
        at = world.stamp(user_created(user))
        yield f"{number}\t{user}\t{company}\t{position}\tHuman Resources\tt\tt\t{admin}\t{at}\t{at}\n"


def candidates(world: World) -> Iterator[str]:
    """Candidates; the id of each is that of its user."""
    plan = world.plan
    rng = stream(plan, "candidates")
    cities = rng.choices([*words.CITIES], [*words.CITIES.values()], k=plan.candidates)
    titles = rng.choices([*words.OCCUPATIONS], k=plan.candidates)
    for number in range(1, plan.candidates + 1):
        title = titles[number - 1]
        years = int(25 * rng.random() ** 1.5)
        low = int(words.OCCUPATIONS[title] * (0.8 + years / 50) / 500) * 500
        at = world.stamp(user_created(number))
        cv = f"/cv/{number}.pdf\tcv-{number}.pdf\t{at}" if rng.random() < 0.8 else f"{NULL}\t{NULL}\t{NULL}"
        yield (
            f"{number}\t{number}\t{cities[number - 1]}\t{title}\t{years} years as {title}\t{years}"
            f"\t{low}\t{low + 500 * rng.randrange(2, 20)}\t{cv}\t{at}\t{at}\n"
        )


def candidate_cvs(world: World) -> Iterator[str]:
    """One for every second candidate."""
    for number, candidate in enumerate(range(1, world.plan.candidates + 1, 2), start=1):
        at = world.stamp(user_created(candidate))
        yield (
            f"{number}\t{candidate}\tcv-{candidate}.pdf\t/cv/{candidate}.pdf"
            f"\t{40_000 + candidate * 7919 % 400_000}\tt\t{at}\t{at}\n"
        )


def skills(world: World) -> Iterator[str]:
    """One to five for each candidate, no name twice."""
    rng = stream(world.plan, "skills")
    names = [*words.SKILLS]
    number = 0
    for candidate in range(1, world.plan.candidates + 1):
        at = world.stamp(user_created(candidate))
        for name in rng.sample(names, rng.randint(1, 5)):
            number += 1
            yield (f"{number}\t{candidate}\t{name}\t{rng.randint(1, 5)}\t{words.SKILLS[name]}\t{at}\t{at}\n")


def experiences(world: World) -> Iterator[str]:
    """None to three for each candidate, the last one perhaps current."""
    rng = stream(world.plan, "experiences")
    titles = [*words.OCCUPATIONS]
    number = 0
    for candidate in range(1, world.plan.candidates + 1):
        at = world.stamp(user_created(candidate))
        until = world.end - timedelta(days=rng.randrange(30, 700))
        for position in range(rng.randint(0, 3)):
            number += 1
            start = until - timedelta(days=rng.randrange(200, 1500))
            current = position == 0 and rng.random() < 0.6
            end = NULL if current else f"{until:%Y-%m-%d}"
            company = f"{rng.choice(words.COMPANY_STEMS)} {rng.choice(words.COMPANY_ENDINGS)}"
            yield (
                f"{number}\t{candidate}\t{rng.choice(titles)}\t{company}\t{start:%Y-%m-%d}\t{end}"
                f"\t{'t' if current else 'f'}\t{at}\t{at}\n"
            )
            until = start


def educations(world: World) -> Iterator[str]:
    """None to two for each candidate."""
    rng = stream(world.plan, "educations")
    number = 0
    for candidate in range(1, world.plan.candidates + 1):
        at = world.stamp(user_created(candidate))
        year = rng.randrange(1990, 2022)
        for _ in range(rng.randint(0, 2)):
            number += 1
            degree, school = rng.choice(words.DEGREES), rng.choice(words.SCHOOLS)
            yield f"{number}\t{candidate}\t{degree}\t{school}\t{year}-09-01\t{year + 2}-06-30\t{at}\t{at}\n"
            year -= 3
