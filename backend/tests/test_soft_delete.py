"""Deleted rows stay, are shown to nobody, and leave a trail that only administrators read."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from harness.asking import admin, application
from harness.cluster import Database
from harness.rows import Person, Rows


@pytest.fixture
def me(rows: Rows) -> Person:
    """An employer with a company."""
    return rows.employer(rows.company())


@pytest.fixture
def job(rows: Rows, me: Person, api_database: Database) -> int:
    """A published job of theirs."""
    ((company,),) = api_database.rows("SELECT company_id FROM employers WHERE id = %s", me.profile_id)
    return rows.job(company, employer_id=me.profile_id)


@pytest.fixture
def boss(rows: Rows) -> Person:
    """An administrator."""
    return admin(rows)


def trail(api: httpx.Client, boss: Person, table: str, row: int) -> list[dict[str, Any]]:
    """What the trail says of a row, the last change first."""
    answer = api.get(f"/api/admin/audit/{table}/{row}", headers=boss.headers)
    assert answer.status_code == 200, answer.text
    changes: list[dict[str, Any]] = answer.json()
    return changes


def test_deleting_a_job_leaves_who_did_it_in_which_request(
    api: httpx.Client, me: Person, job: int, boss: Person
) -> None:
    answer = api.delete(f"/api/jobs/{job}", headers={**me.headers, "X-Request-ID": "delete-the-job-1"})
    assert answer.status_code == 204
    (change,) = trail(api, boss, "jobs", job)
    assert (change["action"], change["actor_id"]) == ("soft_delete", me.user_id)
    assert change["request_id"] == answer.headers["X-Request-ID"]
    assert change["changed"]["status"] == ["published", "archived"]
    assert change["changed"]["deleted_at"][0] is None


def test_each_change_is_in_the_trail_and_free_text_only_by_name(
    api: httpx.Client, me: Person, job: int, boss: Person
) -> None:
    change = {"title": "Nurse", "description": "Something secret"}
    api.patch(f"/api/jobs/{job}", json=change, headers=me.headers).raise_for_status()
    api.post(f"/api/jobs/{job}/close", headers=me.headers).raise_for_status()
    closed, changed = trail(api, boss, "jobs", job)
    assert closed["changed"] == {"status": ["published", "closed"]}
    assert changed["changed"] == {"title": ["Data Engineer", "Nurse"], "description": None}


def test_withdrawing_and_applying_again_are_in_the_trail(
    api: httpx.Client, rows: Rows, job: int, boss: Person
) -> None:
    candidate = rows.candidate()
    mine = application(rows, job, candidate)
    api.delete(f"/api/applications/{mine}", headers=candidate.headers).raise_for_status()
    api.post("/api/applications/apply", json={"job_id": job}, headers=candidate.headers).raise_for_status()
    restored, deleted = trail(api, boss, "job_applications", mine)
    assert [change["action"] for change in (deleted, restored)] == ["soft_delete", "restore"]
    assert {deleted["actor_id"], restored["actor_id"]} == {candidate.user_id}


def test_a_decision_is_in_the_trail(
    api: httpx.Client, rows: Rows, me: Person, job: int, boss: Person
) -> None:
    received = application(rows, job, rows.candidate())
    path = f"/api/applications/{received}/status"
    api.patch(path, json={"status": "viewed", "notes": "secret"}, headers=me.headers).raise_for_status()
    (change,) = trail(api, boss, "job_applications", received)
    assert (change["action"], change["actor_id"]) == ("update", me.user_id)
    assert change["changed"] == {"status": ["applied", "viewed"], "notes": None}


def test_applying_leaves_no_trail_on_the_job_although_it_counts(
    api: httpx.Client, rows: Rows, job: int, boss: Person
) -> None:
    body = {"job_id": job}
    api.post("/api/applications/apply", json=body, headers=rows.candidate().headers).raise_for_status()
    assert trail(api, boss, "jobs", job) == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM audit.changes",
        "INSERT INTO audit.changes (table_name, row_id, action, changed) VALUES ('jobs', 1, 'update', '{}')",
        "UPDATE audit.changes SET actor_id = NULL",
        "DELETE FROM audit.changes",
        "TRUNCATE audit.changes",
        "ALTER TABLE jobs DISABLE TRIGGER audit_jobs",
    ],
)
def test_the_service_can_neither_read_nor_write_the_trail(api_database: Database, statement: str) -> None:
    with api_database.connect("app") as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)


def test_an_administrator_brings_a_job_back_as_it_was(
    api: httpx.Client, me: Person, job: int, boss: Person
) -> None:
    before = api.get(f"/api/jobs/{job}").json()
    api.delete(f"/api/jobs/{job}", headers=me.headers).raise_for_status()
    assert api.get(f"/api/jobs/{job}").status_code == 404
    restored = api.post(f"/api/jobs/{job}/restore", headers=boss.headers)
    assert (restored.status_code, restored.json()["status"]) == (200, "published"), restored.text
    after = api.get(f"/api/jobs/{job}").json()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    latest = trail(api, boss, "jobs", job)[0]
    assert (latest["action"], latest["actor_id"]) == ("restore", boss.user_id)
    assert latest["changed"]["status"] == ["archived", "published"]


@pytest.mark.parametrize("status", ["draft", "closed", "archived"])
def test_a_job_comes_back_in_the_state_that_it_was_deleted_in(
    api: httpx.Client, me: Person, job: int, boss: Person, api_database: Database, status: str
) -> None:
    api_database.run(f"UPDATE jobs SET status = '{status}' WHERE id = {job}")
    for _ in range(2):
        api.delete(f"/api/jobs/{job}", headers=me.headers).raise_for_status()
        assert api.post(f"/api/jobs/{job}/restore", headers=boss.headers).json()["status"] == status


def test_only_what_is_deleted_can_be_brought_back(api: httpx.Client, job: int, boss: Person) -> None:
    for there in (job, 2**31 - 1):
        answer = api.post(f"/api/jobs/{there}/restore", headers=boss.headers)
        assert (answer.status_code, f"No deleted job has the id {there}." in answer.text) == (404, True)


def test_trail_and_restoring_are_for_administrators(
    api: httpx.Client, rows: Rows, me: Person, job: int
) -> None:
    api.delete(f"/api/jobs/{job}", headers=me.headers).raise_for_status()
    for headers, expected in ((me.headers, 403), (rows.candidate().headers, 403), ({}, 401)):
        assert api.get(f"/api/admin/audit/jobs/{job}", headers=headers).status_code == expected
        assert api.post(f"/api/jobs/{job}/restore", headers=headers).status_code == expected


@pytest.mark.parametrize("path", ["sessions/1", "jobs/0", "jobs/x", "jobs/1?limit=0", "jobs/1?limit=1001"])
def test_a_trail_of_what_has_none_is_refused(api: httpx.Client, boss: Person, path: str) -> None:
    assert api.get(f"/api/admin/audit/{path}", headers=boss.headers).status_code == 422


def test_the_trail_is_the_newest_first_and_as_long_as_asked_for(
    api: httpx.Client, me: Person, job: int, boss: Person
) -> None:
    for title in ("One", "Two", "Three"):
        api.patch(f"/api/jobs/{job}", json={"title": title}, headers=me.headers).raise_for_status()
    answer = api.get(f"/api/admin/audit/jobs/{job}", params={"limit": 2}, headers=boss.headers)
    assert [change["changed"]["title"][1] for change in answer.json()] == ["Three", "Two"]


def test_a_deleted_user_is_refused_at_once(api: httpx.Client, me: Person, api_database: Database) -> None:
    assert api.get("/api/jobs/mine", headers=me.headers).status_code == 200
    api_database.run(f"UPDATE users SET deleted_at = now() WHERE id = {me.user_id}")
    assert api.get("/api/jobs/mine", headers=me.headers).status_code == 401
