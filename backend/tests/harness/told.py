"""People of whom every table tells, in words that can be looked for."""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from app.sealing import Sealer
from harness.passwords import by_bcrypt
from harness.rows import Person, Rows, bearer
from harness.site import TOKEN_KEYS

PASSWORD = "a password to say farewell with"

_numbers = count(1)


class Numbered:
    """Texts about one person, each of which is nowhere else; all begin with `word`."""

    def __init__(self) -> None:
        self.word = f"Zyxwvut{next(_numbers)}x"
        self.made: list[str] = []

    def __call__(self, column: str) -> str:
        """A text for a column, to be found in a dump."""
        self.made.append(f"{self.word}{len(self.made)}q{column.replace('_', '')}")
        return self.made[-1]


class Told(NamedTuple):
    """A person in the database, and every text about them there."""

    person: Person
    email: str
    text: Numbered


def somebody(rows: Rows, role: str, text: Numbered) -> Told:
    """A user with a row in every table of signing in and of messages, and all texts told."""
    email = f"{text('email')}@example.com"
    user = rows.user(
        role,
        email=email,
        first_name=text("first_name"),
        last_name=text("last_name"),
        name=text("name"),
        image=text("image"),
        clerk_id=text("clerk_id"),
        password_hash=by_bcrypt(PASSWORD),
    )
    rows.insert(
        "accounts",
        user_id=user,
        type="oauth",
        provider="google",
        provider_account_id=text("provider_account_id"),
        access_token=Sealer(TOKEN_KEYS).seal("token"),
        session_state=text("session_state"),
        scope=text("scope"),
    )
    rows.insert("sessions", user_id=user, session_token=text("session_token"), expires="2030-01-01")
    rows.insert("password_reset_tokens", user_id=user, token=text("reset"), expires_at="2030-01-01")
    rows.insert("verification_tokens", identifier=email, token=text("verification"), expires="2030-01-01")
    told = {"user_id": user, "type": "system", "title": text("title"), "message": text("message")}
    rows.insert("notifications", **told)
    rows.insert("notifications_archive", id=user, **{**told, "message": text("archived")})
    profile = rows.insert(
        "candidates" if role == "candidate" else "employers", user_id=user, phone=text("phone")
    )
    return Told(Person(user, profile, bearer(user)), email, text)


def candidate(rows: Rows, text: Numbered, jobs: list[int]) -> Told:
    """A candidate with all parts of a profile, who has applied for `jobs` and is spoken of to others."""
    told = somebody(rows, "candidate", text)
    mine = {"candidate_id": told.person.profile_id}
    rows.insert("candidate_cvs", **mine, filename=text("filename"), file_path=text("file_path"))
    rows.insert(
        "experiences", **mine, title=text("position"), company=text("company"), start_date="2020-01-01"
    )
    rows.insert("educations", **mine, degree=text("degree"), school=text("school"), start_date="2015-01-01")
    rows.insert("skills", **mine, name=text("skill"), level=3, category="soft")
    for job in jobs:
        application = rows.insert(
            "job_applications", **mine, job_id=job, cover_letter=text("letter"), notes=text("notes")
        )
        about = {
            "user_id": rows.user("employer"),
            "type": "new_application",
            "title": text("toldtitle"),
            "message": text("toldmessage"),
            "related_application_id": application,
        }
        rows.insert("notifications", **about)
        rows.insert("notifications_archive", id=1_000_000 + application, **about)
    return told
