"""Registering: a user, a profile and a mail; and nobody learns from it who has an account."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness.cluster import Database
from harness.rows import Rows
from harness.site import PASSWORD, Site, new_address

VERIFY = "Please verify your address"
KNOWN = "You have an account already"


def user_of(database: Database, email: str) -> list[tuple[Any, ...]]:
    return database.rows(
        "SELECT id, role, first_name, last_name, email_verified, password_hash FROM users"
        " WHERE lower(email) = lower(%s)",
        email,
    )


def test_a_candidate_gets_an_empty_profile(site: Site, api_database: Database) -> None:
    email = new_address()
    answer = site.register(email, first_name="  Grace ", last_name="Hopper")
    assert answer.status_code == 202, answer.text
    [(user_id, role, first, last, verified, _)] = user_of(api_database, email)
    assert (role, first, last, verified) == ("candidate", "Grace", "Hopper", None)
    assert api_database.rows("SELECT count(*) FROM candidates WHERE user_id = %s", user_id) == [(1,)]
    assert api_database.rows("SELECT count(*) FROM employers WHERE user_id = %s", user_id) == [(0,)]


@pytest.mark.parametrize("company", [None, "Atelier Registered"])
def test_an_employer_gets_a_profile_and_the_company_that_they_name(
    site: Site, api_database: Database, company: str | None
) -> None:
    email = site.newcomer(role="employer", company_name=company)
    assert api_database.rows(
        "SELECT role, companies.name FROM users JOIN employers ON employers.user_id = users.id"
        " LEFT JOIN companies ON companies.id = employers.company_id WHERE lower(email) = lower(%s)",
        email,
    ) == [("employer", company)]


def test_the_password_is_stored_as_an_argon2_hash(site: Site, api_database: Database) -> None:
    [(*_, password_hash)] = user_of(api_database, site.newcomer())
    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in password_hash


def test_a_newcomer_gets_a_link_and_no_word_of_theirs_is_in_the_mail(site: Site) -> None:
    email = site.newcomer(first_name="Buy", last_name="cheap-pills.example")
    letter = site.letter(email, VERIFY)
    assert "https://intowork.test/verify-email#token=" in letter.get_content()
    assert "cheap-pills" not in letter.as_string()
    assert letter["From"] == "IntoWork <no-reply@intowork.test>"


def test_a_known_address_gets_the_same_answer(site: Site) -> None:
    first = site.register(new_address())
    email = site.newcomer()
    again = site.register(email.upper())
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    shown = {"content-length", "content-type", "cache-control", "retry-after", "location"}
    assert {name: value for name, value in again.headers.items() if name in shown} == {
        name: value for name, value in first.headers.items() if name in shown
    }


def test_a_known_address_is_told_by_mail_and_its_user_stays_as_they_are(
    site: Site, api_database: Database
) -> None:
    email = site.newcomer()
    before = user_of(api_database, email)
    assert site.register(email.swapcase(), password="another password", first_name="Eve").status_code == 202
    assert "https://intowork.test/reset-password#token=" in site.letter(email, KNOWN).get_content()
    assert user_of(api_database, email) == before


@pytest.mark.parametrize("closed", [{"is_active": False}, {"deleted_at": "2026-01-01T00:00:00Z"}])
def test_the_address_of_a_closed_account_is_told_so_without_a_link(
    site: Site, rows: Rows, closed: dict[str, Any]
) -> None:
    email = new_address()
    rows.user("candidate", email=email, **closed)
    assert site.register(email).status_code == 202
    text = site.letter(email, KNOWN).get_content()
    assert "it is closed" in text
    assert "token=" not in text


def test_of_fifty_registrations_of_one_address_at_once_one_makes_a_user(
    site: Site, api_database: Database
) -> None:
    email = new_address()
    body = {"password": PASSWORD, "role": "candidate", "first_name": "Ada", "last_name": "Byron"}
    spellings = [email, email.lower(), email.upper()]
    answers = site.at_once(
        "/api/auth/register", [{**body, "email": spellings[number % 3]} for number in range(50)]
    )
    assert Counter(answer.status_code for answer in answers) == {202: 50}
    [(user_id, *_)] = user_of(api_database, email)
    assert api_database.rows("SELECT count(*) FROM candidates WHERE user_id = %s", user_id) == [(1,)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "nobody"},
        {"email": "@example.com"},
        {"email": "a@b"},
        {"email": "a b@example.com"},
        {"email": "a@example.com\r\nBcc: all@example.com"},
        {"email": "a@example.com, b@example.com"},
        {"email": "Ada <a@example.com>"},
        {"email": "é@example.com"},
        {"email": f"{'a' * 250}@example.com"},
        {"email": None},
        {"password": "eleven char"},
        {"password": "x" * 129},
        {"password": "NUL \0 in the middle"},
        {"role": "admin"},
        {"role": "CANDIDATE"},
        {"first_name": "   "},
        {"last_name": "x" * 101},
        {"company_name": "Only for employers"},
        {"is_active": True},
        {"id": 1},
    ],
)
def test_a_registration_that_cannot_be_used_is_refused(site: Site, wrong: dict[str, Any]) -> None:
    answer = site.register(**({"email": new_address()} | wrong))
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_refusal_does_not_repeat_what_was_sent(site: Site) -> None:
    answer = site.register("secret-person", password="hunter2")
    assert answer.status_code == 422
    assert "secret-person" not in answer.text
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("length", [12, 128])
def test_a_password_of_any_allowed_length_can_be_used(site: Site, length: int) -> None:
    password = "é" * length
    email = site.newcomer(password=password)
    assert site.login(email, password).status_code == 200


def test_an_international_domain_is_stored_as_mail_servers_write_it(
    site: Site, api_database: Database
) -> None:
    domain = new_address().split("@")[0].replace(".", "").lower() + "-bücher.example.com"
    assert site.register(f"ada@{domain}").status_code == 202
    [(_, role, *_)] = user_of(api_database, f"ada@{domain.encode('idna').decode()}")
    assert role == "candidate"
