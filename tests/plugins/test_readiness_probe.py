"""The requests that a release is tried with, against a real server of HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ansible.module_utils.readiness_probe import PER_CONNECTION, probe

CLIENTS = 4


class Service(BaseHTTPRequestHandler):
    """Answers 200, and 500 where it is asked for /broken; waits for company where it is asked for /together."""

    protocol_version = "HTTP/1.1"
    paths: list[str]
    connections: set[int]
    company: threading.Barrier

    def do_GET(self) -> None:
        type(self).paths.append(self.path)
        type(self).connections.add(self.client_address[1])
        if self.path == "/together":
            type(self).company.wait(10)
        body = b"what happened"
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def service() -> Iterator[tuple[str, type[Service]]]:
    """A service with its origin, and what it was asked."""
    handler = type(
        "Asked", (Service,), {"paths": [], "connections": set(), "company": threading.Barrier(CLIENTS)}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_paths_are_asked_in_turn_as_often_as_was_wanted() -> None:
    with service() as (origin, asked):
        found = probe([f"{origin}/status", f"{origin}/list?limit=1"], 2 * 3 * PER_CONNECTION, CLIENTS)
    assert (found.asked, found.failures) == (60, [])
    assert asked.paths.count("/status") == asked.paths.count("/list?limit=1") == 30


def test_a_connection_is_kept_for_some_requests_and_then_made_anew() -> None:
    with service() as (origin, asked):
        probe([f"{origin}/status"], 5 * PER_CONNECTION, CLIENTS)
    assert len(asked.connections) == 5


def test_clients_ask_at_the_same_time() -> None:
    with service() as (origin, _):
        # One alone would wait for the others in vain.
        found = probe([f"{origin}/together"], CLIENTS * PER_CONNECTION, CLIENTS)
    assert found.failures == []


def test_what_was_no_success_is_told_with_the_answer() -> None:
    with service() as (origin, _):
        found = probe([f"{origin}/status", f"{origin}/broken"], 10, CLIENTS)
    assert found.failures == ["/broken: status 500: what happened"] * 5


def test_service_that_is_gone_is_a_failure_of_each_request() -> None:
    with service() as (origin, _):
        pass
    found = probe([f"{origin}/status"], 12, CLIENTS)
    assert (found.asked, len(found.failures)) == (12, 12)
    assert "Refused" in found.failures[0]
