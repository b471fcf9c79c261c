"""What users are told: their own, newest first, read once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.notifications import NotificationPage
from harness.asking import all_pages
from harness.cluster import Database
from harness.rows import Person, Rows

PATH = "/api/notifications"
NOW = datetime(2026, 1, 6, 9, 30, tzinfo=UTC)


@pytest.fixture
def me(rows: Rows) -> Person:
    """A candidate; anybody has notifications."""
    return rows.candidate()


def tell(rows: Rows, person: Person, **values: Any) -> int:
    """A notification; returns its id."""
    given = {"type": "message", "title": "Hello", "message": "There is news", "user_id": person.user_id}
    return rows.insert("notifications", **{**given, **values})


def unread(api: httpx.Client, me: Person) -> int:
    """How many are unread."""
    return int(api.get(f"{PATH}/unread-count", headers=me.headers).json()["unread"])


def test_notifications_are_mine_newest_first(api: httpx.Client, rows: Rows, me: Person) -> None:
    job = rows.job()
    old = tell(rows, me, created_at=NOW, related_job_id=job)
    new = tell(rows, me, created_at=NOW + timedelta(hours=1), is_read=True, read_at=NOW)
    tell(rows, rows.candidate())
    answer = api.get(PATH, headers=me.headers)
    items = answer.json()["items"]
    assert [item["id"] for item in items] == [new, old]
    assert (items[1]["related_job_id"], items[1]["is_read"]) == (job, False)
    assert NotificationPage.model_validate(answer.json()).model_dump(mode="json") == answer.json()


def test_pages_of_notifications_show_each_once(api: httpx.Client, rows: Rows, me: Person) -> None:
    made = [tell(rows, me, created_at=NOW + timedelta(hours=n // 3)) for n in range(8)]
    assert [item["id"] for item in all_pages(api, PATH, me.headers, limit=3)] == made[::-1]


@pytest.mark.parametrize(("wanted", "shown"), [("true", [0, 2]), ("false", [1]), (None, [0, 1, 2])])
def test_unread_ones_can_be_asked_for(
    api: httpx.Client, rows: Rows, me: Person, wanted: str | None, shown: list[int]
) -> None:
    # is_read may be empty in the table, and is then false.
    made = [tell(rows, me, is_read=read) for read in (False, True, None)]
    params = {} if wanted is None else {"unread": wanted}
    items = api.get(PATH, params=params, headers=me.headers).json()["items"]
    assert sorted(item["id"] for item in items) == [made[n] for n in shown]
    assert [item["is_read"] for item in items if item["id"] == made[2]] in ([], [False])


def test_reading_one_counts_down_and_again_changes_nothing(api: httpx.Client, rows: Rows, me: Person) -> None:
    one, _ = tell(rows, me), tell(rows, me)
    assert unread(api, me) == 2
    first = api.post(f"{PATH}/{one}/read", headers=me.headers)
    assert (first.status_code, first.json()["is_read"], unread(api, me)) == (200, True, 1)
    again = api.post(f"{PATH}/{one}/read", headers=me.headers)
    assert again.json() == first.json()
    assert first.json()["read_at"] is not None


def test_reading_all_reads_mine_and_nobody_elses(
    api: httpx.Client, rows: Rows, me: Person, api_database: Database
) -> None:
    other = rows.candidate()
    for person, is_read in ((me, False), (me, None), (me, True), (other, False)):
        tell(rows, person, is_read=is_read)
    assert api.post(f"{PATH}/read-all", headers=me.headers).json() == {"marked": 2}
    assert api.post(f"{PATH}/read-all", headers=me.headers).json() == {"marked": 0}
    assert (unread(api, me), unread(api, other)) == (0, 1)


def test_another_users_notification_is_not_found(api: httpx.Client, rows: Rows, me: Person) -> None:
    other = rows.candidate()
    theirs = tell(rows, other)
    assert api.post(f"{PATH}/{theirs}/read", headers=me.headers).status_code == 404
    assert unread(api, other) == 1


@pytest.mark.parametrize("method_and_path", ["GET ", "GET /unread-count", "POST /1/read", "POST /read-all"])
def test_notifications_are_for_those_who_are_signed_in(api: httpx.Client, method_and_path: str) -> None:
    method, _, path = method_and_path.partition(" ")
    assert api.request(method, f"{PATH}{path}").status_code == 401


@pytest.mark.parametrize("path", ["?unread=maybe", "?limit=0", "?cursor=x", "?type=message"])
def test_a_bad_filter_is_refused(api: httpx.Client, me: Person, path: str) -> None:
    assert api.get(PATH + path, headers=me.headers).status_code == 422
