"""A real HAProxy with real HTTP servers of both colours behind it, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
    """One colour of the API: says its name, is ready or not, answers well or not and at once or not, as it is told."""

    daemon_threads = True

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.ready = True
        self.status = 200
        self.seconds = 0.0
        self.breaks_off = False
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
        if self.path == "/ready":
            status = 200 if self.server.ready else 503
        else:
            status = self.server.status
            time.sleep(self.server.seconds)
            if self.server.breaks_off:
                self.close_connection = True
                return
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

    def watch(self, **options: Any) -> dict[str, Any]:
        """Read what was answered, or, with `since`, see green answer as blue did; green has answered already."""
        arguments = {
            "live": {"api1": "green"},
            "replaced": {"api1": "blue"},
            "seconds": 0,
            "socket": str(self.folder / "admin.sock"),
            **options,
        }
        return run("haproxy_watch", **arguments)

    def ask(self, count: int) -> None:
        """Make so many requests, and do not mind what comes."""
        for _ in range(count):
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.get()

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
