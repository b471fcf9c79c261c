"""A candidate's profile and its parts, and an employer's company: one's own and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from harness.asking import employer, waiting_for_locks
from harness.cluster import Database
from harness.rows import Person, Rows
from harness.threads import at_once

PROFILE = "/api/profile"
PARTS: dict[str, dict[str, Any]] = {
    "experiences": {"title": "Nurse", "company": "Iris Lab", "start_date": "2021-03-01"},
    "educations": {"degree": "Master", "school": "Lyon 1", "start_date": "2015-09-01"},
    "skills": {"name": "PostgreSQL", "level": 4, "category": "technical"},
    "cvs": {"filename": "cv.pdf", "file_path": "/cv/1.pdf", "file_size": 1_000},
}
TABLES = {"cvs": "candidate_cvs"}


@pytest.fixture
def me(rows: Rows) -> Person:
    """A candidate."""
    return rows.candidate()


def test_a_profile_shows_who_it_is_of(api: httpx.Client, me: Person) -> None:
    answer = api.get(PROFILE, headers=me.headers)
    assert answer.status_code == 200, answer.text
    profile = answer.json()
    assert (profile["id"], profile["first_name"], profile["last_name"]) == (me.profile_id, "Ada", "Byron")
    assert profile["title"] is None


def test_a_change_of_the_profile_changes_what_it_names(api: httpx.Client, me: Person) -> None:
    before = api.get(PROFILE, headers=me.headers).json()
    wanted = {"title": "Nurse", "years_experience": 5, "website_url": "https://ada.example.com"}
    changed = api.patch(PROFILE, json=wanted, headers=me.headers)
    assert changed.status_code == 200, changed.text
    assert changed.json() == {**before, **wanted}
    cleared = api.patch(PROFILE, json={"title": None}, headers=me.headers)
    assert cleared.json() == {**before, **wanted, "title": None}
    assert api.get(PROFILE, headers=me.headers).json() == cleared.json()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"title": " "},
        {"summary": "x" * 20_001},
        {"summary": "a\0b"},
        {"website_url": "javascript:alert(1)"},
        {"website_url": "https://a b"},
        {"years_experience": -1},
        {"years_experience": 81},
        {"salary_expectation_min": 2**31},
        {"salary_expectation_min": 2, "salary_expectation_max": 1},
        {"email": "other@example.com"},
        {"user_id": 1},
        {"cv_url": "/etc/passwd"},
    ],
)
def test_a_bad_change_of_the_profile_is_refused(api: httpx.Client, me: Person, wrong: Any) -> None:
    before = api.get(PROFILE, headers=me.headers).json()
    assert api.patch(PROFILE, json=wrong, headers=me.headers).status_code == 422
    assert api.get(PROFILE, headers=me.headers).json() == before


def test_an_expected_salary_is_checked_together_with_what_is_stored(api: httpx.Client, me: Person) -> None:
    api.patch(PROFILE, json={"salary_expectation_max": 10}, headers=me.headers).raise_for_status()
    answer = api.patch(PROFILE, json={"salary_expectation_min": 11}, headers=me.headers)
    assert answer.status_code == 422
    assert "salary_expectation_min is above salary_expectation_max" in answer.text


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_added_listed_changed_and_deleted(api: httpx.Client, me: Person, part: str) -> None:
    path = f"{PROFILE}/{part}"
    made = api.post(path, json=PARTS[part], headers=me.headers)
    assert made.status_code == 201, made.text
    assert PARTS[part].items() <= made.json().items()
    assert api.get(path, headers=me.headers).json() == [made.json()]
    one = f"{path}/{made.json()['id']}"
    name = next(iter(PARTS[part]))
    changed = api.patch(one, json={name: "Other"}, headers=me.headers)
    assert (changed.status_code, changed.json()) == (200, {**made.json(), name: "Other"})
    assert api.get(path, headers=me.headers).json() == [changed.json()]
    assert (api.delete(one, headers=me.headers).status_code, api.get(path, headers=me.headers).json()) == (
        204,
        [],
    )
    assert api.delete(one, headers=me.headers).status_code == 404


@pytest.mark.parametrize("part", PARTS)
def test_nobody_reaches_another_candidates_parts(
    api: httpx.Client, rows: Rows, me: Person, part: str, api_database: Database
) -> None:
    path = f"{PROFILE}/{part}"
    made = api.post(path, json=PARTS[part], headers=me.headers).json()
    other = rows.candidate()
    one = f"{path}/{made['id']}"
    name = next(iter(PARTS[part]))
    assert api.get(path, headers=other.headers).json() == []
    assert api.patch(one, json={name: "Other"}, headers=other.headers).status_code == 404
    assert api.delete(one, headers=other.headers).status_code == 404
    assert api.get(path, headers=me.headers).json() == [made]


@pytest.mark.parametrize("path", [PROFILE, *(f"{PROFILE}/{part}" for part in PARTS)])
def test_a_profile_is_for_candidates(api: httpx.Client, rows: Rows, path: str) -> None:
    assert api.get(path).status_code == 401
    assert api.get(path, headers=rows.employer().headers).status_code == 403


@pytest.mark.parametrize(
    ("part", "wrong", "said"),
    [
        ("experiences", {"end_date": "2021-02-28"}, "end_date is before start_date"),
        ("experiences", {"is_current": True, "end_date": "2024-01-01"}, "is_current is true and end_date"),
        ("experiences", {"start_date": None}, "start_date"),
        ("experiences", {"start_date": "2021-02-30"}, "start_date"),
        ("experiences", {"start_date": 0}, "is no day; write it as 2026-01-31"),
        ("experiences", {"start_date": "2021-03-01T00:00:00"}, "is no day"),
        ("experiences", {"is_current": 1}, "is_current"),
        ("experiences", {"title": ""}, "title"),
        ("experiences", {"candidate_id": 1}, "candidate_id"),
        ("educations", {"end_date": "2015-08-31"}, "end_date is before start_date"),
        ("educations", {"school": None}, "school"),
        ("skills", {"level": 0}, "level"),
        ("skills", {"level": 6}, "level"),
        ("skills", {"category": "TECHNICAL"}, "category"),
        ("skills", {"name": "x" * 201}, "name"),
        ("cvs", {"file_size": -1}, "file_size"),
        ("cvs", {"file_size": True}, "file_size"),
        ("cvs", {"file_path": "/cv/../../etc/passwd"}, "file_path"),
        ("cvs", {"filename": "a\0b"}, "filename"),
    ],
)
def test_a_bad_part_is_refused_new_or_changed(
    api: httpx.Client, me: Person, part: str, wrong: dict[str, Any], said: str
) -> None:
    path = f"{PROFILE}/{part}"
    new = api.post(path, json={**PARTS[part], **wrong}, headers=me.headers)
    assert (new.status_code, said in new.text) == (422, True), new.text
    made = api.post(path, json=PARTS[part], headers=me.headers).json()
    changed = api.patch(f"{path}/{made['id']}", json=wrong, headers=me.headers)
    assert (changed.status_code, said in changed.text) == (422, True), changed.text
    assert api.get(path, headers=me.headers).json() == [made]


@pytest.mark.parametrize("part", PARTS)
def test_there_are_at_most_a_hundred_of_each_part(
    api: httpx.Client, rows: Rows, me: Person, part: str, api_database: Database
) -> None:
    """Also when the hundredth and the next one come at once: the second has to wait and is refused."""
    for _ in range(99):
        rows.insert(TABLES.get(part, part), candidate_id=me.profile_id, **PARTS[part])
    with api_database.connect() as blocker, blocker.transaction():
        blocker.execute("SELECT FROM candidates WHERE id = %s FOR UPDATE", (me.profile_id,))
        adding = at_once(
            *(lambda: api.post(f"{PROFILE}/{part}", json=PARTS[part], headers=me.headers) for _ in range(2))
        )
        waiting_for_locks(api_database, 2)
    answers = adding()
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert any("You have 100 of them already" in answer.text for answer in answers)
    assert len(api.get(f"{PROFILE}/{part}", headers=me.headers).json()) == 100


def active(api: httpx.Client, me: Person) -> list[int]:
    """The ids of the active CVs."""
    return [cv["id"] for cv in api.get(f"{PROFILE}/cvs", headers=me.headers).json() if cv["is_active"]]


def test_a_new_cv_takes_the_place_of_the_active_one(api: httpx.Client, me: Person) -> None:
    path = f"{PROFILE}/cvs"
    first, second = (api.post(path, json=PARTS["cvs"], headers=me.headers).json()["id"] for _ in range(2))
    assert active(api, me) == [second]
    third = api.post(path, json={**PARTS["cvs"], "is_active": False}, headers=me.headers).json()["id"]
    assert active(api, me) == [second]
    activated = api.post(f"{path}/{third}/activate", headers=me.headers)
    assert (activated.status_code, activated.json()["is_active"]) == (200, True)
    assert active(api, me) == [third]
    assert api.post(f"{path}/{first}/activate", headers=me.headers).status_code == 200
    assert active(api, me) == [first]


def test_activating_a_cv_that_is_not_mine_leaves_mine_active(
    api: httpx.Client, rows: Rows, me: Person
) -> None:
    path = f"{PROFILE}/cvs"
    mine = api.post(path, json=PARTS["cvs"], headers=me.headers).json()["id"]
    other = api.post(path, json=PARTS["cvs"], headers=rows.candidate().headers).json()["id"]
    assert api.post(f"{path}/{other}/activate", headers=me.headers).status_code == 404
    assert active(api, me) == [mine]


def test_of_cvs_added_and_activated_at_once_one_is_active(
    api: httpx.Client, me: Person, api_database: Database
) -> None:
    path = f"{PROFILE}/cvs"
    made = [api.post(path, json=PARTS["cvs"], headers=me.headers).json()["id"] for _ in range(2)]
    with api_database.connect() as blocker, blocker.transaction():
        blocker.execute("SELECT FROM candidates WHERE id = %s FOR UPDATE", (me.profile_id,))
        doing = at_once(
            *(lambda cv=cv: api.post(f"{path}/{cv}/activate", headers=me.headers) for cv in made),
            *(lambda: api.post(path, json=PARTS["cvs"], headers=me.headers) for _ in range(2)),
        )
        waiting_for_locks(api_database, 4)
    assert sorted(answer.status_code for answer in doing()) == [200, 200, 201, 201]
    assert len(active(api, me)) == 1


def test_everybody_may_know_a_company(api: httpx.Client, rows: Rows) -> None:
    company = rows.insert("companies", name="Iris Lab", city="Lyon")
    answer = api.get(f"/api/companies/{company}")
    assert (answer.status_code, answer.json()["name"], answer.json()["city"]) == (200, "Iris Lab", "Lyon")
    assert api.get("/api/companies/2147483647").status_code == 404


def test_an_employer_sees_their_company_and_its_administrator_changes_it(
    api: httpx.Client, rows: Rows
) -> None:
    company = rows.company("Iris Lab")
    head, recruiter = employer(rows, company, is_admin=True), employer(rows, company)
    changed = api.patch("/api/companies/mine", json={"city": "Lyon"}, headers=head.headers)
    assert (changed.status_code, changed.json()["city"]) == (200, "Lyon"), changed.text
    refused = api.patch("/api/companies/mine", json={"name": "Mine"}, headers=recruiter.headers)
    assert (refused.status_code, "Only an administrator of the company" in refused.text) == (403, True)
    assert api.get("/api/companies/mine", headers=recruiter.headers).json() == changed.json()
    assert changed.json()["name"] == "Iris Lab"


@pytest.mark.parametrize("wrong", [{}, {"name": None}, {"name": ""}, {"logo_url": "data:x"}, {"id": 1}])
def test_a_bad_change_of_a_company_is_refused(api: httpx.Client, rows: Rows, wrong: Any) -> None:
    head = employer(rows, rows.company(), is_admin=True)
    assert api.patch("/api/companies/mine", json=wrong, headers=head.headers).status_code == 422


def test_without_a_company_there_is_none_to_see(api: httpx.Client, rows: Rows) -> None:
    nobody = employer(rows, None, is_admin=True)
    for answer in (
        api.get("/api/companies/mine", headers=nobody.headers),
        api.patch("/api/companies/mine", json={"city": "Lyon"}, headers=nobody.headers),
    ):
        assert (answer.status_code, "not joined a company" in answer.text) == (403, True)


def test_a_change_tells_when_it_was_made(api: httpx.Client, me: Person, api_database: Database) -> None:
    old = datetime(2026, 1, 6, tzinfo=UTC)
    with api_database.connect() as connection:
        connection.execute("UPDATE candidates SET updated_at = %s WHERE id = %s", (old, me.profile_id))
    api.patch(PROFILE, json={"title": "Nurse"}, headers=me.headers).raise_for_status()
    assert api_database.rows(
        "SELECT updated_at > now() - interval '1 minute' FROM candidates WHERE id = %s", me.profile_id
    ) == [(True,)]
