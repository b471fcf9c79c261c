"""The module haproxy_switch against a real HAProxy, with real HTTP servers of both colours behind it."""

from __future__ import annotations

import http.client
import threading

from ansible.module_utils import haproxy_runtime
from real_haproxy import Load, Proxy, within


def test_switch_under_load_fails_no_request(proxy: Proxy) -> None:
    with Load(proxy) as load:
        result = proxy.switch("green")
        within(5, lambda: "green" in load.colours)
    assert load.errors == []
    assert {status for status, _colour in load.answers} == {200}
    assert load.answers.total() >= 600
    assert load.colours == {"blue", "green"}
    assert result["servers"] == {"api1-blue": "maint", "api1-green": "ready"}


def test_requests_after_the_switch_reach_only_the_new_colour(proxy: Proxy) -> None:
    assert proxy.get() == (200, "blue")
    proxy.switch("green")
    assert {proxy.get() for _ in range(10)} == {(200, "green")}


def test_second_switch_changes_nothing(proxy: Proxy) -> None:
    assert proxy.switch("green")["changed"]
    again = proxy.switch("green")
    assert not again["changed"]
    assert again["commands"] == []


def test_colour_that_is_not_ready_is_refused_with_the_words_of_its_check(proxy: Proxy) -> None:
    proxy.green.ready = False
    result = proxy.switch("green", ready_timeout=0.7)
    assert result["failed"]
    assert "api1-green: L7STS 503" in result["msg"]


def test_refused_colour_leaves_the_old_one_serving(proxy: Proxy) -> None:
    before = proxy.config.read_text()
    proxy.green.ready = False
    with Load(proxy, requests=60) as load:
        proxy.switch("green", ready_timeout=0.5)
    assert load.errors == []
    assert set(load.answers) == {(200, "blue")}
    assert proxy.states() == {"api1-blue": "ready", "api1-green": "maint"}
    assert proxy.config.read_text() == before


def test_gate_gives_no_request_to_the_colour_that_it_proves(proxy: Proxy) -> None:
    proxy.switch("green", phase="gate")
    assert {proxy.get() for _ in range(10)} == {(200, "blue")}


def test_gate_waits_for_a_colour_that_becomes_ready(proxy: Proxy) -> None:
    proxy.green.ready = False
    timer = threading.Timer(0.6, setattr, (proxy.green, "ready", True))
    timer.start()
    result = proxy.switch("green", phase="gate")
    assert "failed" not in result
    assert proxy.green.ready


def test_gate_does_not_trust_what_a_check_said_before_maintenance(proxy: Proxy) -> None:
    proxy.switch("green")
    proxy.switch("blue")
    proxy.green.ready = False
    result = proxy.switch("green", phase="gate", ready_timeout=0.5)
    assert result["failed"]


def test_shift_without_gate_is_refused(proxy: Proxy) -> None:
    result = proxy.switch("green", phase="shift")
    assert "Run the phase gate first" in result["msg"]
    assert proxy.states() == {"api1-blue": "ready", "api1-green": "maint"}


def test_drain_without_shift_is_refused(proxy: Proxy) -> None:
    result = proxy.switch("green", phase="drain")
    assert "Run the phase shift first" in result["msg"]
    assert proxy.get() == (200, "blue")


def test_drain_waits_for_a_slow_request(proxy: Proxy) -> None:
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(proxy.get("/slow")))
    slow.start()
    assert proxy.blue.slow_began.wait(5)
    proxy.switch("green", phase="gate")
    proxy.switch("green", phase="shift")
    threading.Timer(0.5, proxy.blue.slow_may_end.set).start()
    result = proxy.switch("green", phase="drain")
    slow.join(10)
    assert proxy.blue.slow_may_end.is_set()
    assert result["unfinished"] == {}
    assert answers == [(200, "blue")]


def test_drain_names_the_requests_that_outlast_its_time(proxy: Proxy) -> None:
    slow = threading.Thread(target=proxy.get, args=("/slow",))
    slow.start()
    assert proxy.blue.slow_began.wait(5)
    result = proxy.switch("green", drain_timeout=0.2)
    proxy.blue.slow_may_end.set()
    slow.join(10)
    assert result["unfinished"] == {"api1-blue": 1}
    assert result["servers"]["api1-blue"] == "maint"


def test_drain_waits_for_an_idle_client_of_a_worker_that_a_reload_left(proxy: Proxy) -> None:
    idle = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    assert proxy.get("/", idle) == (200, "blue")
    proxy.reload()
    answers: list[tuple[int, str]] = []
    timer = threading.Timer(0.4, lambda: answers.append(proxy.get("/", idle)))
    timer.start()
    result = proxy.switch("green")
    # The old worker sends it to the old colour, which must not have been stopped by then.
    assert answers == [(200, "blue")]
    assert result["unfinished"] == {}


def test_switch_does_not_wait_for_old_workers_that_know_the_colour(proxy: Proxy) -> None:
    proxy.switch("green")
    idle = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    assert proxy.get("/", idle) == (200, "green")
    proxy.reload()
    result = proxy.switch("green", drain_timeout=0.2)
    assert result["unfinished"] == {}
    assert proxy.get("/", idle) == (200, "green")


def test_drain_waits_for_a_request_in_a_worker_that_a_reload_left(proxy: Proxy) -> None:
    slow = threading.Thread(target=proxy.get, args=("/slow",))
    slow.start()
    assert proxy.blue.slow_began.wait(5)
    proxy.reload()
    result = proxy.switch("green", drain_timeout=0.3)
    assert result["unfinished"]["api1-blue"] == 1
    proxy.blue.slow_may_end.set()
    slow.join(10)


def test_reload_after_the_switch_forgets_nothing(proxy: Proxy) -> None:
    proxy.switch("green")
    proxy.reload()
    assert proxy.states() == {"api1-blue": "maint", "api1-green": "ready"}
    assert not proxy.switch("green")["changed"]


def test_reload_under_load_fails_no_request(proxy: Proxy) -> None:
    with Load(proxy) as load:
        proxy.reload()
        proxy.reload()
    assert load.errors == []
    assert set(load.answers) == {(200, "blue")}


def test_switch_and_back_leaves_the_configuration_as_it_was(proxy: Proxy) -> None:
    before = proxy.config.read_text()
    proxy.switch("green")
    assert "server api1-blue 127.0.0.1:1\n" in proxy.config.read_text()
    proxy.switch("blue")
    assert proxy.config.read_text() == before


def test_no_colour_takes_a_server_out(proxy: Proxy) -> None:
    proxy.switch("none")
    assert proxy.states() == {"api1-blue": "maint", "api1-green": "maint"}
    assert proxy.get()[0] == 503


def test_server_that_the_proxy_does_not_have_is_named(proxy: Proxy) -> None:
    result = proxy.switch("red")
    assert "no server api1-red; it has api1-blue, api1-green" in result["msg"]


def test_check_mode_says_what_would_be_told_and_tells_nothing(proxy: Proxy) -> None:
    before = proxy.config.read_text()
    result = proxy.switch("green", check_mode=True)
    assert result["changed"]
    assert "set server api/api1-green state ready" in result["commands"]
    assert proxy.states() == {"api1-blue": "ready", "api1-green": "maint"}
    assert proxy.config.read_text() == before


def test_check_mode_on_a_host_without_haproxy_does_not_fail(proxy: Proxy) -> None:
    result = proxy.switch("green", check_mode=True, socket=str(proxy.folder / "absent.sock"))
    assert result["changed"]
    assert "failed" not in result


def test_requests_go_back_to_a_server_that_never_lost_them_though_its_check_fails(proxy: Proxy) -> None:
    proxy.blue.ready = False
    within(5, lambda: not haproxy_runtime.Worker(proxy.folder / "admin.sock").servers("api")["api1-blue"].up)
    assert "failed" not in proxy.switch("blue")
    assert proxy.states() == {"api1-blue": "ready", "api1-green": "maint"}


def test_proxy_that_does_not_run_gets_its_requests_back_with_its_next_start(proxy: Proxy) -> None:
    proxy.switch("green", phase="gate")
    proxy.switch("green", phase="shift")
    proxy.process.terminate()
    proxy.process.wait(10)
    (proxy.folder / "admin.sock").unlink(missing_ok=True)
    result = proxy.switch("blue")
    assert result["changed"]
    assert "HAProxy does not run here" in str(result["warnings"])
    config = proxy.config.read_text()
    assert f"api1-blue 127.0.0.1:{proxy.blue.server_port}\n" in config
    assert f"api1-green 127.0.0.1:{proxy.green.server_port} disabled\n" in config


def test_proxy_that_does_not_run_is_told_at_every_other_phase(proxy: Proxy) -> None:
    proxy.process.terminate()
    proxy.process.wait(10)
    (proxy.folder / "admin.sock").unlink(missing_ok=True)
    result = proxy.switch("green", phase="gate")
    assert result["failed"]
    assert "Does it run? See: systemctl status haproxy" in result["msg"]
