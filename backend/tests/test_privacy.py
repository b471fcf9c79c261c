"""A person's data: all of it can be had, and after a purge nothing of it is in the database."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from harness.cluster import Cluster, Database
from harness.migrations import module
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import JWT_SECRET, Server
from harness.site import TOKEN_KEYS
from harness.told import PASSWORD, Numbered, Told, candidate, somebody


@pytest.fixture(scope="module")
def database(cluster: Cluster, template: Database) -> Iterator[Database]:
    """A database of these tests alone, as all of it is dumped."""
    made = cluster.create(template)
    yield made
    cluster.drop(made)


@pytest.fixture
def own(database: Database) -> Iterator[Rows]:
    """Makes rows in it."""
    with database.connect("app") as connection:
        yield Rows(connection)


@pytest.fixture(scope="module")
def client(
    database: Database, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The API on that database."""
    url = database.url("app", pooler.host, pooler.port)
    log = tmp_path_factory.mktemp("privacy") / "api.log"
    server = Server(url, log, TOKEN_KEYS=",".join(TOKEN_KEYS)).start()
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made
    server.stop()


def dump(database: Database) -> str:
    """All rows of all tables, of the schema audit too."""
    user, password = database.cluster.login("superuser")
    return subprocess.run(
        ["pg_dump", "--data-only", "-U", user, database.name],
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def remaining(database: Database, told: Told) -> list[str]:
    """The lines of a dump that have a word of the person."""
    return [line for line in dump(database).splitlines() if told.text.word.lower() in line.lower()]


def farewell(client: httpx.Client, told: Told, password: str = PASSWORD) -> httpx.Response:
    return client.request("DELETE", "/api/me", json={"password": password}, headers=told.person.headers)


def touch(database: Database, told: Told) -> None:
    """Leave a trail of changes."""
    database.run(
        f"UPDATE users SET first_name = first_name || 'x', is_active = NULL WHERE id = {told.person.user_id}",
        f"UPDATE users SET is_active = true WHERE id = {told.person.user_id}",
        "UPDATE job_applications SET cover_letter = cover_letter || 'x', status = 'viewed'",
    )


def test_an_export_has_every_text_about_a_candidate_but_for_tokens(
    client: httpx.Client, own: Rows, database: Database
) -> None:
    text = Numbered()
    told = candidate(own, text, [own.job(), own.job()])
    touch(database, told)
    answer = client.get("/api/me/export", headers=told.person.headers)
    assert answer.status_code == 200, answer.text
    missing = [word for word in text.made if word not in answer.text]
    assert [word.partition("q")[2] for word in missing] == [
        *("sessiontoken", "reset", "verification"),
        *("toldtitle", "toldmessage") * 2,
    ]
    assert "sealed:" not in answer.text
    assert "$2b$" not in answer.text
    assert 'filename="intowork-export.json"' in answer.headers["Content-Disposition"]


def test_an_export_tells_the_trail_of_changes(client: httpx.Client, own: Rows, database: Database) -> None:
    told = candidate(own, Numbered(), [own.job()])
    touch(database, told)
    changes = client.get("/api/me/export", headers=told.person.headers).json()["changes"]
    assert [(change["table_name"], change["action"]) for change in changes] == [
        ("users", "update"),
        ("users", "update"),
        ("job_applications", "update"),
    ]


def test_an_export_of_an_employer_has_their_jobs_and_nobody_elses_applications(
    client: httpx.Client, own: Rows, database: Database
) -> None:
    employer = somebody(own, "employer", Numbered())
    job = own.job(own.company(), employer_id=employer.person.profile_id)
    own.job()
    gone = own.job(own.company(), employer_id=employer.person.profile_id, status="archived", deleted_at="now")
    own.insert(
        "job_applications", job_id=job, candidate_id=own.candidate().profile_id, cover_letter="of another"
    )
    answer = client.get("/api/me/export", headers=employer.person.headers)
    assert [found["id"] for found in answer.json()["jobs"]] == [job, gone]
    assert answer.json()["employer"]["id"] == employer.person.profile_id
    assert answer.json()["candidate"] is None
    assert "of another" not in answer.text


def test_an_export_covers_every_table_about_persons(
    client: httpx.Client, own: Rows, database: Database
) -> None:
    told = somebody(own, "candidate", Numbered())
    sections = set(client.get("/api/me/export", headers=told.person.headers).json())
    tables = {
        row[0]
        for row in database.rows(
            "SELECT DISTINCT table_name::text FROM information_schema.columns WHERE table_schema = 'public'"
            " AND column_name IN ('user_id', 'candidate_id', 'identifier')"
        )
    }
    assert tables - {"candidates", "employers"} <= sections


@pytest.mark.parametrize("trail", [False, True])
def test_after_a_purge_nothing_of_a_candidate_is_in_the_database(
    client: httpx.Client, own: Rows, database: Database, trail: bool
) -> None:
    told = candidate(own, Numbered(), [own.job(), own.job()])
    if trail:
        touch(database, told)
    assert len(remaining(database, told)) > 15
    assert farewell(client, told).status_code == 204
    assert remaining(database, told) == []
    assert database.rows("SELECT count(*) FROM users WHERE id = %s", told.person.user_id) == [(0,)]


def test_after_a_purge_nothing_of_an_employer_is_in_the_database(
    client: httpx.Client, own: Rows, database: Database
) -> None:
    told = somebody(own, "employer", Numbered())
    database.run(
        f"UPDATE employers SET position = '{told.text('position')}', department = '{told.text('department')}'"
        f" WHERE user_id = {told.person.user_id}"
    )
    touch(database, told)
    assert len(remaining(database, told)) >= 8
    assert farewell(client, told).status_code == 204
    assert remaining(database, told) == []


def test_a_purged_employer_leaves_the_jobs_and_the_applications_for_them(
    client: httpx.Client, own: Rows, database: Database
) -> None:
    told = somebody(own, "employer", Numbered())
    job = own.job(own.company(), employer_id=told.person.profile_id)
    application = own.insert("job_applications", job_id=job, candidate_id=own.candidate().profile_id)
    assert farewell(client, told).status_code == 204
    assert database.rows("SELECT status FROM jobs WHERE id = %s", job) == [("published",)]
    assert database.rows("SELECT status FROM job_applications WHERE id = %s", application) == [("applied",)]
    assert database.rows(
        "SELECT email, first_name, last_name, password_hash, is_active, deleted_at IS NOT NULL FROM users"
        " WHERE id = %s",
        told.person.user_id,
    ) == [(f"purged-{told.person.user_id}@invalid.example", "Purged", "Purged", None, False, True)]


def test_a_purged_candidate_is_not_counted_any_more(
    client: httpx.Client, own: Rows, database: Database
) -> None:
    first, second = jobs = own.job(), own.job()
    told = candidate(own, Numbered(), [*jobs])
    other = own.candidate().profile_id
    own.insert("job_applications", job_id=first, candidate_id=other)
    own.insert("job_applications", job_id=second, candidate_id=told.person.profile_id, status="rejected")
    # Taken back, so it was counted down then.
    own.insert(
        "job_applications",
        job_id=second,
        candidate_id=told.person.profile_id,
        status="rejected",
        deleted_at="now",
    )
    counts = "SELECT count(*) FROM job_applications WHERE job_id = jobs.id AND deleted_at IS NULL"
    database.run(f"UPDATE jobs SET applications_count = ({counts})")
    before = database.rows("SELECT id, updated_at FROM jobs ORDER BY id")
    assert farewell(client, told).status_code == 204
    assert database.rows(
        "SELECT id, applications_count FROM jobs WHERE id = ANY (%s) ORDER BY id", [first, second]
    ) == [(first, 1), (second, 0)]
    assert database.rows("SELECT id, updated_at FROM jobs ORDER BY id") == before


def test_a_purge_leaves_everybody_else(client: httpx.Client, own: Rows, database: Database) -> None:
    told = candidate(own, Numbered(), [own.job()])
    other = candidate(own, Numbered(), [own.job()])
    before = client.get("/api/me/export", headers=other.person.headers).json()
    assert farewell(client, told).status_code == 204
    assert client.get("/api/me/export", headers=other.person.headers).json() == before


def test_the_trail_says_who_purged_and_nothing_else(
    client: httpx.Client, own: Rows, database: Database
) -> None:
    told = candidate(own, Numbered(), [])
    assert farewell(client, told).status_code == 204
    assert database.rows(
        "SELECT action, actor_id FROM audit_trail('users', %s, 10)", told.person.user_id
    ) == [("delete", told.person.user_id)]


def test_after_a_purge_the_token_is_refused_and_the_address_is_free(client: httpx.Client, own: Rows) -> None:
    told = somebody(own, "employer", Numbered())
    assert farewell(client, told).status_code == 204
    assert client.get("/api/auth/me", headers=told.person.headers).status_code == 401
    body = {
        "email": told.email,
        "password": PASSWORD,
        "role": "employer",
        "first_name": "A",
        "last_name": "B",
    }
    assert client.post("/api/auth/register", json=body).status_code == 202
    again = client.post("/api/auth/login", json={"email": told.email, "password": PASSWORD})
    assert again.status_code == 200


@pytest.mark.parametrize("password", ["another password", "x" * 1000])
def test_a_purge_needs_the_password(
    client: httpx.Client, own: Rows, database: Database, password: str
) -> None:
    told = candidate(own, Numbered(), [])
    answer = farewell(client, told, password)
    assert answer.status_code == 403
    assert "nothing was removed" in answer.json()["detail"]
    assert database.rows("SELECT email FROM users WHERE id = %s", told.person.user_id) == [(told.email,)]


def test_who_has_no_password_cannot_be_purged_by_a_stolen_token(client: httpx.Client, own: Rows) -> None:
    headers = own.candidate().headers
    answer = client.request("DELETE", "/api/me", json={"password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "ask for a new password first" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/me/export"), ("DELETE", "/api/me")])
def test_personal_data_is_for_who_is_signed_in(client: httpx.Client, method: str, path: str) -> None:
    assert client.request(method, path, json={"password": "x"}).status_code == 401


def command(database: Database, *words: str) -> Any:
    return module("app.cli", *words, DATABASE_URL=database.url("app"), JWT_SECRET=JWT_SECRET)


def test_an_operator_can_export_a_person(own: Rows, database: Database) -> None:
    told = candidate(own, Numbered(), [own.job()])
    done = command(database, "export", "--email", told.email.upper())
    assert done.returncode == 0, done.stderr
    exported = json.loads(done.stdout)
    assert exported["user"]["email"] == told.email
    assert len(exported["job_applications"]) == 1


def test_an_operator_is_told_first_what_a_purge_would_do(own: Rows, database: Database) -> None:
    told = candidate(own, Numbered(), [own.job()])
    before = dump(database)
    done = command(database, "purge", "--email", told.email)
    assert done.returncode == 0, done.stderr
    assert f"user {told.person.user_id} would be deleted" in done.stdout
    assert "job_applications 1" in done.stdout
    assert "nothing was changed" in done.stdout
    [path] = [word for word in told.text.made if word.endswith("filepath")]
    assert f"to be removed where it is: {path}" in done.stdout
    assert _rows_of(dump(database)) == _rows_of(before)


def _rows_of(dumped: str) -> list[str]:
    """Without pg_dump's random words."""
    return [line for line in dumped.splitlines() if not line.startswith("\\")]


@pytest.mark.parametrize(
    ("role", "said"), [("candidate", "was deleted"), ("employer", "was emptied, and the jobs stay")]
)
def test_an_operator_can_purge_a_person(own: Rows, database: Database, role: str, said: str) -> None:
    told = somebody(own, role, Numbered())
    done = command(database, "purge", "--email", told.email, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"user {told.person.user_id} {said}" in done.stdout
    assert remaining(database, told) == []


@pytest.mark.parametrize("words", [["export"], ["purge"], ["purge", "--yes"]])
def test_an_unknown_address_is_said_to_an_operator(database: Database, words: list[str]) -> None:
    done = command(database, *words, "--email", "nobody@example.com")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no user has the address 'nobody@example.com'" in done.stderr


def test_an_operator_is_told_of_a_database_that_is_away() -> None:
    url = "postgresql+psycopg://u:hunter2@127.0.0.1:1/d"
    done = module("app.cli", "export", "--email", "a@example.com", DATABASE_URL=url, JWT_SECRET=JWT_SECRET)
    assert done.returncode == 1
    assert "cannot use the database of DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
