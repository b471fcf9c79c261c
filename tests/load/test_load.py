"""The open-loop load, against a real server: it counts what fails, and a server that stalls does not slow it down."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from shared.load import Load
from shared.open_loop import Plan, Request, kind_of

RATE = 100
# For a load that a test ends.
LONG = 60.0


class Server(ThreadingHTTPServer):
    """Does with a request what its path says, and remembers what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.came: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        self.connections: set[Any] = set()
        self.released = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone: here they are meant to be."""


class Handler(BaseHTTPRequestHandler):
    """The paths."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *words: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """What the path says."""
        self.server.came[self.path] += 1
        self.server.connections.add(self.client_address)
        if self.path == "/held":
            self.server.released.wait(LONG)
        if self.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"4\r\nwhol\r\n1\r\ne\r\n0\r\n\r\n")
            return
        self.send_response(503 if self.path == "/unavailable" else 200)
        self.send_header("Content-Length", "100" if self.path == "/half" else "5")
        self.end_headers()
        self.wfile.write(b"whole")
        # A server may close a connection that it has answered on, without a word; one that is half-answered, too.
        self.close_connection |= self.path in ("/half", "/closing")

    def do_PATCH(self) -> None:
        """Keep the body."""
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_GET()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a free port."""
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.released.set()
        made.shutdown()


def plan(port: int, *paths: str, seconds: float = 0.5, **options: Any) -> Plan:
    """A plan of GETs, of as many kinds as there are paths."""
    requests = [Request(path, "GET", path) for path in paths]
    options = {"rate": RATE, "new": 0.25, "timeout": 20.0, "tls": False, **options}
    return Plan("127.0.0.1", port, "load.test", seconds=seconds, requests=requests, **options)


def through(load: Load) -> Load:
    """Let the load come to the end of its plan, which its own process does."""
    with load:
        until(lambda: not load.goes_on(), "the plan is through")
    return load


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_requests_begin_as_planned_while_the_server_answers_none(server: Server) -> None:
    with Load(plan(server.port, "/fine", "/held", seconds=LONG)) as load:
        # A closed loop would have begun one, or as many as it has connections.
        until(lambda: server.came["/held"] >= RATE, "requests that begin although none is answered")
        server.released.set()
    assert load.report.failed == 0
    assert load.report.kinds["/held"]["requests"] >= RATE


def test_latency_counts_from_the_planned_time(server: Server) -> None:
    began = time.monotonic()
    with Load(plan(server.port, "/fine", "/held", seconds=LONG)) as load:
        until(lambda: server.came["/held"] >= RATE, "requests that begin although none is answered")
        held = time.monotonic() - began
        server.released.set()
    # The first of them was planned before the rest, so it waited for nearly all of that time.
    least = (RATE - 1) * 2 / RATE
    assert 1000 * least <= load.report.kinds["/held"]["worst_ms"]
    assert held >= least
    assert load.report.worst_ms == load.report.kinds["/held"]["worst_ms"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/unavailable", "status 503"), ("/reset", "reset"), ("/half", "reset"), ("/held", "timeout")],
)
def test_what_fails_is_counted_with_its_time_and_kind(server: Server, path: str, kind: str) -> None:
    load = through(Load(plan(server.port, "/fine", path, timeout=2.0)))
    figures = load.report.kinds
    assert figures["/fine"]["failed"] == 0
    assert figures[path]["failed"] == figures[path]["requests"] == load.report.failed == RATE / 4
    assert {failure["kind"] for failure in load.report.failures} == {kind}
    assert all(failure["at"].startswith("20") for failure in load.report.failures)


def test_nobody_there_is_counted_as_refused(server: Server) -> None:
    with Load(plan(server.port, "/fine", seconds=2.0, new=1.0)) as load:
        server.shutdown()
        server.server_close()
        until(lambda: not load.goes_on(), "the plan is through")
    assert "refused" in {failure["kind"] for failure in load.report.failures}


def test_new_connections_and_kept_ones_are_mixed(server: Server) -> None:
    load = through(Load(plan(server.port, "/fine", seconds=1.0)))
    assert load.report.failed == 0
    # More than a pool would make, and fewer than one each.
    assert RATE / 10 < len(server.connections) < RATE


def test_a_connection_that_the_server_has_closed_is_not_used_again(server: Server) -> None:
    load = through(Load(plan(server.port, "/closing", new=0.0)))
    assert load.report.failed == 0
    assert len(server.connections) == load.report.requests


def test_chunks_are_read_to_their_end(server: Server) -> None:
    load = through(Load(plan(server.port, "/chunked", new=0.0)))
    assert load.report.failed == 0
    assert len(server.connections) < load.report.requests


def test_each_write_has_a_body_of_its_own(server: Server) -> None:
    write = Request("write", "PATCH", "/fine", "token", '{"title": "{number}"}')
    load = through(
        Load(Plan("127.0.0.1", server.port, "load.test", tls=False, rate=RATE, seconds=0.5, requests=[write]))
    )
    assert load.report.failed == 0
    assert len(set(server.bodies)) == load.report.requests


def test_tls_is_spoken_without_asking_whose_certificate_it_is(server: Server, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=load.test"
    subprocess.run(
        ["openssl", *words.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate, key)
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    load = through(Load(plan(server.port, "/fine", tls=True)))
    assert (load.report.failed, load.report.requests) == (0, RATE / 2)


def test_a_report_concludes_with_its_figures_as_a_property_of_the_test(server: Server) -> None:
    written: dict[str, object] = {}
    with Load(plan(server.port, "/fine", seconds=LONG)) as load:
        until(lambda: server.came["/fine"] > 10, "some requests")
    load.conclude("a test", written.__setitem__)
    assert '"failed": 0' in str(written["load: a test"])


def test_a_failure_is_told_where_a_report_concludes(server: Server) -> None:
    load = through(Load(plan(server.port, "/fine", "/unavailable")))
    with pytest.raises(AssertionError, match="status 503"):
        load.conclude("a test", lambda _name, _value: None)


def test_a_load_that_was_through_too_early_is_no_success(server: Server) -> None:
    load = through(Load(plan(server.port, "/fine")))
    with pytest.raises(AssertionError, match="took longer than the load"):
        load.conclude("a test", lambda _name, _value: None)


def test_a_load_that_is_never_answered_does_not_begin(server: Server) -> None:
    with pytest.raises(AssertionError, match="never answered"), Load(plan(server.port, "/reset")):
        pass


def test_an_answer_without_a_status_has_a_kind_too() -> None:
    assert kind_of(ValueError("no number")) == "ValueError"
