"""The module haproxy_switch against a real HAProxy, with real HTTP servers of both colours behind it."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import haproxy_runtime
from real_module import run

CONFIG = """\
global
    stats socket {folder}/admin.sock mode 600 level admin expose-fd listeners
    hard-stop-after 20s
defaults
    mode http
    option idle-close-on-response
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive 1s
frontend front
    bind 127.0.0.1:{port}
    default_backend api
backend other
    server api1-blue 127.0.0.1:1
backend api
    http-reuse safe
    option httpchk
    http-check send meth GET uri /ready ver HTTP/1.1 hdr Host api
    http-check expect status 200
    retry-on conn-failure
    default-server check inter 200ms fastinter 50ms rise 2 fall 2
    server api1-blue 127.0.0.1:{blue}
    server api1-green 127.0.0.1:{green} disabled
"""


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; a test fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Backend(ThreadingHTTPServer):
    """One colour of the API: says its name, and is ready or not as it is told."""

    daemon_threads = True

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.ready = True
        self.slow_began = threading.Event()
        self.slow_may_end = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """HAProxy closes a check's connection as soon as it knows enough."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Backend

    def do_GET(self) -> None:
        status = 503 if self.path == "/ready" and not self.server.ready else 200
        if self.path == "/slow":
            self.server.slow_began.set()
            self.server.slow_may_end.wait(10)
        body = self.server.colour.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Proxy:
    """A running HAProxy with its two backends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.blue, self.green = Backend("blue"), Backend("green")
        self.config = folder / "haproxy.cfg"
        ports = {"blue": self.blue.server_port, "green": self.green.server_port}
        self.config.write_text(CONFIG.format(folder=folder, port=self.port, **ports))
        program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        assert program, "these tests need HAProxy: apt-get install haproxy"
        self.process = subprocess.Popen(
            [program, "-W", "-db", "-S", str(folder / "master.sock"), "-f", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("w"),
        )
        within(5, lambda: (folder / "admin.sock").exists() and (folder / "master.sock").exists())

    def stop(self) -> None:
        for backend in (self.blue, self.green):
            backend.slow_may_end.set()
            backend.shutdown()
            backend.server_close()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def switch(self, colour: str, **options: Any) -> dict[str, Any]:
        """Run the module as Ansible would and return its result."""
        check_mode = options.pop("check_mode", False)
        arguments = {
            "live": {"api1": colour},
            "socket": str(self.folder / "admin.sock"),
            "master_socket": str(self.folder / "master.sock"),
            "config": str(self.config),
            "ready_timeout": 5,
            "drain_timeout": 5,
            "_ansible_check_mode": check_mode,
            **options,
        }
        return run("haproxy_switch", **arguments)

    def states(self) -> dict[str, str]:
        worker = haproxy_runtime.Worker(self.folder / "admin.sock")
        return {name: server.admin for name, server in worker.servers("api").items()}

    def get(self, path: str = "/", connection: http.client.HTTPConnection | None = None) -> tuple[int, str]:
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def reload(self) -> None:
        """Reload as systemd does, and wait until a new worker answers."""
        before = self.worker()
        haproxy_runtime.ask(self.folder / "master.sock", "reload")
        within(5, lambda: self.worker() != before)

    def worker(self) -> str:
        """Return the process id of the worker at the stats socket; empty in the middle of a reload."""
        try:
            answer = haproxy_runtime.ask(self.folder / "admin.sock", "show info")
        except OSError:
            return ""
        return next((line for line in answer.splitlines() if line.startswith("Pid:")), "")


class Load:
    """Requests from several clients, with and without keep-alive, while the block runs; at least so many."""

    def __init__(self, proxy: Proxy, clients: int = 4, requests: int = 150) -> None:
        self.proxy = proxy
        self.answers: Counter[tuple[int, str]] = Counter()
        self.errors: list[str] = []
        self.done = threading.Event()
        self.threads = [
            threading.Thread(target=self.client, args=(number % 2 == 0, requests))
            for number in range(clients)
        ]

    def client(self, keep_alive: bool, requests: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=10)
        number = 0
        while number < requests or not self.done.is_set():
            number += 1
            try:
                if number % 3:
                    connection.request("GET", "/")
                else:
                    connection.request("POST", "/", body=b"x" * 200)
                answer = connection.getresponse()
                self.answers[answer.status, answer.read().decode()] += 1
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
            if not keep_alive:
                connection.close()
            time.sleep(0.005)

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        within(5, lambda: self.answers.total() > 20)
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(30)

    @property
    def colours(self) -> set[str]:
        return {colour for _status, colour in list(self.answers)}


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    # Short, since the path of a Unix socket may have 107 bytes.
    running = Proxy(tmp_path_factory.mktemp("p"))
    yield running
    running.stop()


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
