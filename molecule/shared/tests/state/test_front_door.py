"""What a client finds at the proxy."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import Any

import pytest

from shared.machine import Machine
from shared.product import Product
from shared.sql import Endpoints
from shared.web import Web

# More than the proxy gives the API of one host at once.
CLIENTS = 300
METRICS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8404/metrics').read().decode())"


@pytest.fixture(scope="module")
def token(product: Product) -> str:
    """A token for the candidate of the sample data, which is loaded where there is none yet."""
    product.run("app.sample_data", "--if-empty", "--jobs", "200", "--applications", "1000", "--seed", "1")
    return product.run("app.cli", "token", "--email", "candidate@example.com")


@pytest.fixture(scope="module")
def job(web: Web, token: str) -> dict[str, Any]:
    """A published job that the candidate has not applied for."""
    mine = web.get("/api/applications/my/applications?limit=100", token=token).json["items"]
    jobs = web.get("/api/jobs?limit=100").json["items"]
    taken = {application["job_id"] for application in mine}
    return next(job for job in jobs if job["id"] not in taken)


def test_the_proxy_runs_and_starts_at_boot(proxy: Machine) -> None:
    proxy.must_run("haproxy")


def test_http_redirects_to_https(web: Web) -> None:
    answer = web.plain_get("/api/jobs?limit=3")
    assert answer.status == 308
    assert answer.headers["location"] == f"https://{web.domain}/api/jobs?limit=3"


def test_the_service_is_healthy_and_says_which_release_it_is(web: Web, product: Product) -> None:
    answer = web.get("/health")
    assert answer.status == 200
    assert answer.json["status"] == "healthy"
    assert answer.json["release"] == product.release


def test_the_release_that_serves_is_the_one_that_was_recorded(
    web: Web, product: Product, sql: Endpoints
) -> None:
    revision = sql.superuser("SELECT version_num FROM alembic_version")
    pair = product.record["pair"]
    assert pair == {"release": web.get("/health").json["release"], "revision": revision}


@pytest.mark.parametrize(("path", "word"), [("/health/ready", "ready"), ("/health/database", "healthy")])
def test_the_service_has_its_database(web: Web, path: str, word: str) -> None:
    answer = web.get(path)
    assert (answer.status, answer.json["status"]) == (200, word)


@pytest.mark.usefixtures("token")
def test_the_job_list_has_published_jobs_newest_first_in_pages(web: Web) -> None:
    first = web.get("/api/jobs?limit=5").json
    second = web.get(f"/api/jobs?limit=5&cursor={first['next_cursor']}").json
    moments = [job["posted_at"] for job in first["items"] + second["items"]]
    assert len(moments) == 10
    assert moments == sorted(moments, reverse=True)
    assert {job["id"] for job in first["items"]}.isdisjoint(job["id"] for job in second["items"])


@pytest.mark.usefixtures("token")
def test_the_job_list_is_narrowed_by_a_filter(web: Web) -> None:
    found = web.get("/api/jobs?location_type=remote&limit=20").json["items"]
    assert found
    assert {job["location_type"] for job in found} == {"remote"}


def test_a_wrong_filter_is_refused(web: Web) -> None:
    assert web.get("/api/jobs?location_type=moon").status == 422


@pytest.mark.usefixtures("token")
def test_more_requests_at_once_than_the_api_takes_wait_in_the_proxy_and_none_is_refused(
    web: Web, proxy: Machine
) -> None:
    assert Counter(web.get_at_once("/api/jobs?limit=100", CLIENTS)) == {200: CLIENTS}
    # A host has no curl.
    metrics = proxy.sh(f"python3 -c {shlex.quote(METRICS)}")
    found = re.search(r'^haproxy_backend_max_queue\{proxy="api"\} (\d+)$', metrics, re.MULTILINE)
    assert found, metrics
    assert int(found[1]) > 0


def test_applying_needs_a_token(web: Web) -> None:
    assert web.post("/api/applications/apply", {"job_id": 1}).status == 401


def test_a_candidate_applies_once(web: Web, token: str, job: dict[str, Any], sql: Endpoints) -> None:
    made = web.post("/api/applications/apply", {"job_id": job["id"]}, token=token)
    again = web.post("/api/applications/apply", {"job_id": job["id"]}, token=token)
    assert (made.status, again.status) == (201, 409)
    stored = sql.superuser(f"SELECT job_id, status FROM job_applications WHERE id = {made.json['id']}")
    assert stored == f"{job['id']}|applied"
    mine = web.get("/api/applications/my/applications?limit=1", token=token).json["items"]
    assert [application["id"] for application in mine] == [made.json["id"]]
