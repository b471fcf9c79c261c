"""The module haproxy_watch against a real HAProxy: a colour that answers worse than the one before it is found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible.module_utils.haproxy_answers import SAMPLES, Counters, mean_between
from real_haproxy import Proxy


def shifted(proxy: Proxy, before: int, after: int) -> dict[str, Any]:
    """Have requests answered by blue, shift, have others answered by green; return what was read before."""
    since = proxy.watch()
    proxy.ask(before)
    proxy.switch("green")
    proxy.ask(after)
    return since


class OfHaproxy:
    """The sum behind HAProxy's mean, as swrate_add_dynamic and swrate_avg of its freq_ctr.h have it."""

    def __init__(self) -> None:
        self.count = self.sum = 0

    def add(self, milliseconds: int) -> None:
        self.count += 1
        gone = -(-self.sum // SAMPLES) if self.count > SAMPLES else 0
        self.sum += milliseconds - gone

    @property
    def counters(self) -> Counters:
        window = min(self.count, SAMPLES)
        return Counters(self.count, 0, -(-self.sum // window) if window else 0)


@pytest.mark.parametrize(
    ("before", "between"),
    [(0, 50), (0, 3000), (300, 500), (900, 400), (1024, 1000), (5000, 200), (5000, 5000)],
)
def test_mean_of_some_answers_is_found_in_the_mean_that_slides(before: int, between: int) -> None:
    some = random.Random(1)
    haproxy = OfHaproxy()
    for _ in range(before):
        haproxy.add(some.randint(0, 40))
    first = haproxy.counters
    times = [some.randint(100, 300) for _ in range(between)]
    for time in times:
        haproxy.add(time)
    # The mean of 1,024 in whole milliseconds says that of 200 of them to 5 ms, and weighs the newest most.
    assert mean_between(first, haproxy.counters) == pytest.approx(sum(times) / between, abs=8)


def test_colour_that_answers_as_the_one_before_is_let_be(proxy: Proxy) -> None:
    since = shifted(proxy, before=60, after=60)
    seen = proxy.watch(since=since)
    assert seen["says"].startswith("60 answers, 0 of them failed (0.0%)")
    assert seen["says"].partition("; before: ")[2].startswith("60 answers, 0 of them failed (0.0%)")


def test_colour_that_answers_5xx_is_found(proxy: Proxy) -> None:
    proxy.green.status = 500
    seen = proxy.watch(since=shifted(proxy, before=60, after=25))
    assert seen["failed"]
    assert seen["msg"].startswith("It fails: 25 answers, 25 of them failed (100.0%)")
    assert "Before: 60 answers, 0 of them failed (0.0%)" in seen["msg"]


def test_answer_that_breaks_off_has_failed(proxy: Proxy) -> None:
    proxy.green.breaks_off = True
    seen = proxy.watch(since=shifted(proxy, before=60, after=25))
    assert "25 answers, 25 of them failed" in seen["msg"]


def test_refusals_of_the_clients_requests_are_no_failures(proxy: Proxy) -> None:
    proxy.green.status = 404
    assert "0 of them failed" in proxy.watch(since=shifted(proxy, before=60, after=60))["says"]


def test_colour_that_fails_as_often_as_the_one_before_is_not_blamed(proxy: Proxy) -> None:
    proxy.blue.status = proxy.green.status = 503
    assert "failed" not in proxy.watch(since=shifted(proxy, before=60, after=60))


def test_few_failures_are_not_too_many(proxy: Proxy) -> None:
    since = shifted(proxy, before=60, after=60)
    proxy.green.status = 500
    proxy.ask(4)
    assert "64 answers, 4 of them failed" in proxy.watch(since=since)["says"]
    proxy.ask(1)
    assert "65 answers, 5 of them failed" in proxy.watch(since=since)["msg"]


def test_colour_that_takes_much_longer_is_found(proxy: Proxy) -> None:
    proxy.green.seconds = 0.15
    seen = proxy.watch(since=shifted(proxy, before=60, after=50))
    assert seen["msg"].startswith("It is slow: 50 answers, 0 of them failed")


def test_colour_whose_first_answers_take_longer_is_let_be(proxy: Proxy) -> None:
    since = shifted(proxy, before=60, after=0)
    proxy.green.seconds = 0.3
    proxy.ask(5)
    proxy.green.seconds = 0.0
    proxy.ask(60)
    assert "failed" not in proxy.watch(since=since)


def test_nobody_waits_where_there_were_too_few_requests_to_compare_with(proxy: Proxy) -> None:
    seen = proxy.watch(since=shifted(proxy, before=3, after=3), seconds=0.5)
    assert seen["says"].startswith("not watched, since 3 requests in the ")


def test_health_checks_are_not_counted(proxy: Proxy) -> None:
    since = shifted(proxy, before=1, after=1)
    counted = proxy.watch(since=since)["counters"]
    assert {name: one["answers"] for name, one in counted.items()} == {"api1-blue": 1, "api1-green": 1}


def test_what_a_reload_forgot_does_not_count(proxy: Proxy) -> None:
    since = shifted(proxy, before=60, after=60)
    proxy.ask(5)
    proxy.reload()
    proxy.green.status = 500
    proxy.ask(25)
    assert (
        "25 answers, 25 of them failed"
        in proxy.watch(since=proxy.watch() | {"counters": since["counters"]})["msg"]
    )


def test_proxy_that_does_not_run_cannot_be_asked(proxy: Proxy) -> None:
    proxy.stop()
    seen = proxy.watch()
    assert "HAProxy cannot be asked" in seen["msg"]
    assert "systemctl status haproxy" in seen["msg"]


def test_backend_that_there_is_not_is_named(proxy: Proxy) -> None:
    assert "'nothing'" in proxy.watch(backend="nothing")["msg"]
