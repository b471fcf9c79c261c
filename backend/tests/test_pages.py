"""Pages as a property: whatever is there and whatever happens meanwhile, no row twice and none lost."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest
from fastapi import HTTPException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from app.inputs import MAX_ID
from app.pages import decode_cursor, encode_cursor
from harness.asking import all_pages, application
from harness.cluster import Database
from harness.rows import Rows

NOW = datetime(2026, 1, 6, 9, 30, tzinfo=UTC)
EXAMPLES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

zones = some.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(at=some.datetimes(timezones=some.one_of(some.just(UTC), zones)), row_id=some.integers(1, MAX_ID))
@settings(deadline=None)
def test_a_cursor_stands_for_its_position(at: datetime, row_id: int) -> None:
    try:
        at.astimezone(UTC)
    except OverflowError:
        return
    assert decode_cursor(encode_cursor(at, row_id)) == (at, row_id)


def cursor_of(value: object) -> str:
    """What looks like a cursor."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


odd_times = some.one_of(
    some.datetimes().map(datetime.isoformat),
    some.sampled_from(
        [
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "2026-01-06T00:00:00+23:59",
            "2026-01-06T00:00:00-15:59:59",
            "2026-01-06T00:00:00+00:00:00.000001",
            "2026-01-06T24:00:00Z",
            "2026-W02-2T00:00:00Z",
            "infinity",
        ]
    ),
)
json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5) | odd_times,
    lambda inner: some.lists(inner, max_size=3),
    max_leaves=5,
)
cursors = some.one_of(
    some.text(max_size=200),
    some.text("ABCabc012-_=", max_size=40),
    json_values.map(cursor_of),
    some.tuples(odd_times, some.integers(-2, 2**33)).map(cursor_of),
    some.just("W" * 200),
    some.just(base64.urlsafe_b64encode(b"[" * 149).decode()[:200]),
)


@given(cursor=cursors)
@settings(deadline=None, max_examples=1_000)
def test_what_is_no_cursor_is_refused_and_nothing_else_happens(cursor: str) -> None:
    try:
        at, row_id = decode_cursor(cursor)
    except HTTPException as refusal:
        status = refusal.status_code
    else:
        assert (at.utcoffset(), 0 < row_id <= MAX_ID) == (timedelta(0), True)
        status = 422
    assert status == 422


@given(cursor=some.tuples(odd_times, some.integers(1, MAX_ID)).map(cursor_of))
@EXAMPLES
def test_a_made_up_cursor_is_a_position_or_refused(api: httpx.Client, cursor: str) -> None:
    answer = api.get("/api/jobs", params={"cursor": cursor})
    assert answer.status_code in (200, 422), answer.text


@given(hours=some.lists(some.integers(0, 3), max_size=12), limit=some.integers(1, 13))
@EXAMPLES
def test_pages_are_the_whole_list_in_order_whatever_the_times(
    api: httpx.Client, rows: Rows, hours: list[int], limit: int
) -> None:
    company = rows.company()
    employer = rows.employer(company).profile_id
    made = [
        (posted, rows.job(company, employer_id=employer, posted_at=posted))
        for posted in (NOW - timedelta(hours=hour) for hour in hours)
    ]
    shown = all_pages(api, "/api/jobs", company_id=company, limit=limit)
    assert [job["id"] for job in shown] == [job for _, job in sorted(made, reverse=True)]


class Writer:
    """Publishes, closes, rewrites and inserts jobs of a company until it is told to stop."""

    def __init__(self, database: Database, company: int, employer: int) -> None:
        self._database, self._company, self._employer = database, company, employer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.rounds = 0
        self.first_round = threading.Event()

    def __enter__(self) -> Writer:
        self._thread.start()
        assert self.first_round.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        with self._database.connect("app") as connection:
            rows = Rows(connection)
            while not self._stop.is_set():
                draft = rows.job(self._company, employer_id=self._employer, status="draft", posted_at=None)
                connection.execute(
                    "UPDATE jobs SET status = 'published', posted_at = now() WHERE id = %s", (draft,)
                )
                # Between the others too, but not for ever: a reader of old ones would never come to an end.
                if self.rounds < 100:
                    at = NOW - timedelta(minutes=9 * self.rounds)
                    rows.job(self._company, employer_id=self._employer, posted_at=at)
                # A new version of every row, elsewhere in the table, as counting views makes.
                connection.execute(
                    "UPDATE jobs SET views_count = views_count + 1 WHERE company_id = %s", (self._company,)
                )
                self.rounds += 1
                self.first_round.set()


@pytest.fixture
def busy(rows: Rows, api_database: Database) -> Iterator[tuple[int, set[int]]]:
    """A company with sixty published jobs, to which more are added all the time."""
    company = rows.company()
    employer = rows.employer(company).profile_id
    assert employer is not None
    there = {
        rows.job(company, employer_id=employer, posted_at=NOW - timedelta(hours=number // 4))
        for number in range(60)
    }
    with Writer(api_database, company, employer):
        yield company, there


@pytest.mark.parametrize("limit", [3, 7, 20])
def test_a_reader_of_all_pages_sees_no_row_twice_and_loses_none_while_others_write(
    api: httpx.Client, busy: tuple[int, set[int]], limit: int
) -> None:
    company, there = busy
    for _ in range(3):
        shown = [job["id"] for job in all_pages(api, "/api/jobs", company_id=company, limit=limit)]
        assert len(shown) == len({*shown}), "a job was shown twice"
        assert there - {*shown} == set(), "a job was lost"


def test_my_applications_stay_whole_while_i_apply(api: httpx.Client, rows: Rows) -> None:
    me = rows.candidate()
    there = {application(rows, rows.job(), me) for _ in range(7)}
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get(
            "/api/applications/my/applications", params={"limit": 2, **cursor}, headers=me.headers
        ).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        api.post(
            "/api/applications/apply", json={"job_id": rows.job()}, headers=me.headers
        ).raise_for_status()
    assert (len(seen), {*seen}) == (7, there)
