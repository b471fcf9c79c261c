"""What haproxy.cfg makes a real HAProxy do, and which servers it says are live."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.haproxy_config import with_live

Render = Callable[..., str]
SERVERS = [{"name": "api1", "address": "127.0.0.1"}, {"name": "api2", "address": "10.0.0.2"}]


@pytest.fixture(scope="session")
def haproxy() -> str:
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "these tests need HAProxy: apt-get install haproxy"
    return program


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate made by the role's own command."""
    program = shutil.which("openssl")
    assert program, "these tests need OpenSSL: apt-get install openssl"
    file = tmp_path / "site.pem"
    request = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=intowork.test"
    )
    made = subprocess.run(
        [program, *request.split(), "-keyout", str(file), "-out", "/dev/stdout"],
        check=True,
        capture_output=True,
        text=True,
    )
    file.write_text(made.stdout + file.read_text())
    return file


@pytest.fixture
def configuration(render: Render, tmp_path: Path) -> Callable[..., str]:
    """Render haproxy.cfg for two API hosts; variables of the role can be given."""

    def rendered(**variables: Any) -> str:
        given = {
            "bundle_api_servers": SERVERS,
            "bundle_colour_ports": {"blue": 8001, "green": 8002},
            "bundle_ready_path": "/health/ready",
            "bundle_domain": "intowork.test",
            "haproxy_live_colours": {"api1": "blue", "api2": "green"},
        }
        return render("haproxy", "haproxy.cfg.j2", **given | variables)

    return rendered


def server_lines(text: str) -> list[str]:
    return re.findall(r"^    server .*$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"haproxy_live_colours": {}},
        {"haproxy_hsts_seconds": 31536000, "haproxy_https_port": 8443, "haproxy_server_maxconn": 0},
        {"haproxy_private_paths": ["/metrics", "/internal/a~b-c_d.e"]},
        {
            "haproxy_bind_addresses": ["127.0.0.1", "[::1]"],
            "haproxy_colour_ports": {"blue": 1, "green": 2, "red": 3},
        },
    ],
)
def test_haproxy_takes_the_configuration_without_a_warning(
    haproxy: str,
    configuration: Callable[..., str],
    certificate: Path,
    tmp_path: Path,
    variables: dict[str, Any],
) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(configuration(haproxy_certificate=str(certificate), **variables))
    done = subprocess.run([haproxy, "-c", "-f", str(file)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_only_the_live_colour_of_each_server_is_in_use(configuration: Callable[..., str]) -> None:
    assert server_lines(configuration()) == [
        "    server api1-blue 127.0.0.1:8001",
        "    server api1-green 127.0.0.1:8002 disabled",
        "    server api2-blue 10.0.0.2:8001 disabled",
        "    server api2-green 10.0.0.2:8002",
    ]


def test_no_server_is_in_use_before_the_first_deploy(configuration: Callable[..., str]) -> None:
    lines = server_lines(configuration(haproxy_live_colours={"api1": "none"}))
    assert len(lines) == 4
    assert all(line.endswith(" disabled") for line in lines)


def test_switch_leaves_the_file_that_the_template_renders(configuration: Callable[..., str]) -> None:
    after = with_live(configuration(), "api", ["api1-green", "api2-green"], ["api1-blue", "api2-blue"])
    assert after == configuration(haproxy_live_colours={"api1": "green", "api2": "green"})


def test_strict_transport_security_is_sent_only_when_asked_for(configuration: Callable[..., str]) -> None:
    assert "Strict-Transport-Security" not in configuration()
    assert 'Strict-Transport-Security "max-age=600;' in configuration(haproxy_hsts_seconds=600)


def test_no_line_of_the_configuration_is_a_time(configuration: Callable[..., str]) -> None:
    assert configuration() == configuration()


class Echo(BaseHTTPRequestHandler):
    """Answers with the head of the request that it got; loses the first request to /lost."""

    lost = 0

    def do_GET(self) -> None:
        if self.path == "/lost":
            type(self).lost += 1
            if type(self).lost == 1:
                self.close_connection = True
                return
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - http.server's own name

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Door:
    """A HAProxy that runs with the role's configuration, less its chroot and user."""

    def __init__(self, haproxy: str, folder: Path, text: str, http_port: int, https_port: int) -> None:
        self.http_port, self.https_port = http_port, https_port
        file = folder / "running.cfg"
        file.write_text(re.sub(r"^    (chroot|user|group) .*\n", "", text, flags=re.MULTILINE))
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen([haproxy, "-db", "-f", str(file)], stderr=self.log)
        deadline = time.monotonic() + 5
        while socket.socket().connect_ex(("127.0.0.1", https_port)):
            assert time.monotonic() < deadline, "HAProxy does not listen"
            assert self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.02)

    def ask(
        self, path: str, *, method: str = "GET", tls: bool = True, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection: http.client.HTTPConnection
        if tls:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.https_port, timeout=10, context=context
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.fixture
def door(
    haproxy: str,
    configuration: Callable[..., str],
    certificate: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Door]]:
    """Return a function that runs the proxy with a colour of api1 live, in front of a server that echoes."""
    folder = tmp_path_factory.mktemp("d")
    Echo.lost = 0
    echo = HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=echo.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    running: list[Door] = []

    def start(live: str) -> Door:
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            for each in (one, two, three):
                each.bind(("127.0.0.1", 0))
            ports = [int(each.getsockname()[1]) for each in (one, two, three)]
        text = configuration(
            bundle_api_servers=SERVERS[:1],
            bundle_colour_ports={"blue": echo.server_port, "green": echo.server_port},
            haproxy_live_colours={"api1": live},
            haproxy_certificate=str(certificate),
            haproxy_stats_socket=str(folder / "s"),
            haproxy_http_port=ports[0],
            haproxy_https_port=ports[1],
            haproxy_metrics_port=ports[2],
            haproxy_hsts_seconds=600,
            haproxy_private_paths=["/metrics", "/internal/status"],
        )
        running.append(Door(haproxy, folder, text, ports[0], ports[1]))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.wait()
        each.log.close()
    echo.shutdown()
    echo.server_close()


def test_plain_http_is_redirected_with_path_and_query(door: Callable[[str], Door]) -> None:
    proxy = door("blue")
    status, headers, _body = proxy.ask("/jobs?page=2", tls=False, headers={"Host": "intowork.test:80"})
    assert status == 308
    assert headers["location"] == f"https://intowork.test:{proxy.https_port}/jobs?page=2"


def test_client_cannot_say_who_it_is(door: Callable[[str], Door]) -> None:
    forged = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1", "X-Forwarded-Proto": "http"}
    _status, _headers, body = door("blue").ask("/", headers=forged)
    seen = json.loads(body)
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert "forwarded" not in seen


def test_request_id_is_the_same_for_api_and_client(door: Callable[[str], Door]) -> None:
    _status, headers, body = door("blue").ask("/", headers={"X-Request-ID": "mine"})
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])
    assert json.loads(body)["x-request-id"] == headers["x-request-id"]


def test_no_live_colour_answers_503_with_retry_after(door: Callable[[str], Door]) -> None:
    status, headers, body = door("none").ask("/jobs")
    assert status == 503
    assert headers["retry-after"] == "5"
    assert "No server of the API is ready" in json.loads(body)["detail"]
    assert headers["strict-transport-security"].startswith("max-age=600")


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics/",
        "/metrics/database/pool",
        "/metrics?name=x",
        "//metrics",
        "/%6Detrics",
        "/metrics%2Fdatabase",
        "/METRICS",
        "https://intowork.test/metrics",
        "/internal/status",
        "/internal//status/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_private_path_is_not_found_from_outside(door: Callable[[str], Door], path: str, method: str) -> None:
    status, headers, body = door("blue").ask(path, method=method, headers={"Content-Length": "0"})
    assert (status, json.loads(body)["status"]) == (404, 404)
    assert headers["content-type"] == "application/problem+json"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])


@pytest.mark.parametrize(
    "path", ["/metricsx", "/jobs/metrics", "/internal", "/?/metrics", "/internal/statuses"]
)
def test_other_path_is_not_private(door: Callable[[str], Door], path: str) -> None:
    status, _headers, _body = door("blue").ask(path)
    assert status == 200


def test_no_path_is_private_unless_the_inventory_says_so(configuration: Callable[..., str]) -> None:
    assert "http-request return" not in configuration()


def test_lost_answer_to_a_get_is_asked_for_again(door: Callable[[str], Door]) -> None:
    status, _headers, _body = door("blue").ask("/lost")
    assert (status, Echo.lost) == (200, 2)


def test_lost_answer_to_a_post_is_not_asked_for_again(door: Callable[[str], Door]) -> None:
    status, _headers, _body = door("blue").ask("/lost", method="POST", headers={"Content-Length": "0"})
    assert (status, Echo.lost) == (502, 1)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(door: Callable[[str], Door]) -> None:
    proxy = door("blue")
    context = ssl._create_unverified_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    plain = socket.create_connection(("127.0.0.1", proxy.https_port), timeout=5)
    with plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)
