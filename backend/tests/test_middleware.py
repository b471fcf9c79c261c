"""What surrounds every route: request ids, headers, CORS and the limit of bodies."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from harness.cluster import Database
from harness.pooler import Pooler
from harness.server import Server

ORIGIN = "https://intowork.test"
LIMIT = 2_000
# Whatever is asked: a route with a body, one without, one that does not exist, another method.
ANYTHING = ["POST /api/applications/apply", "GET /health", "POST /nowhere", "DELETE /health"]


@pytest.fixture(scope="module")
def production(
    api_database: Database, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """An API with production's settings and a limit that is quickly reached."""
    log = tmp_path_factory.mktemp("production") / "api.log"
    url = api_database.url("app", pooler.host, pooler.port)
    server = Server(url, log, ENVIRONMENT="production", MAX_BODY_BYTES=str(LIMIT))
    yield server.start()
    server.stop()


@pytest.mark.parametrize("given", ["a", "A-1_b.2", "x" * 64, "0b9b3c1e-3f0a-4d52-9d86-6f2b8ad2c1de"])
def test_a_well_formed_request_id_is_taken(api: httpx.Client, given: str) -> None:
    assert api.get("/health", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "two words", 'quote"', "line\tfeed", "ä".encode()])
def test_without_a_well_formed_request_id_a_new_one_is_made(
    api: httpx.Client, given: str | bytes | None
) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    answers = [api.get("/health", headers=headers).headers["X-Request-ID"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", answer) for answer in answers)
    assert answers[0] != answers[1]


@pytest.mark.parametrize("path", ["/health", "/api/jobs", "/nowhere", "/api/jobs?limit=x", "/docs"])
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    ],
)
def test_every_answer_is_protected(api: httpx.Client, path: str, header: str, value: str) -> None:
    # Once, not twice: browsers take two of some as none.
    assert api.get(path).headers.get_list(header) == [value]


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/openapi.json"])
def test_answers_of_the_api_may_load_nothing(api: httpx.Client, path: str) -> None:
    policy = api.get(path).headers.get_list("Content-Security-Policy")
    assert policy == ["default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"]


def test_browsers_shall_insist_on_https_in_production_only(api: httpx.Client, production: Server) -> None:
    assert production.get("/health").headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in api.get("/health").headers


def test_a_listed_origin_may_call(api: httpx.Client) -> None:
    answer = api.get("/health", headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]


def test_a_listed_origin_may_ask_first(api: httpx.Client) -> None:
    answer = api.options(
        "/api/applications/apply",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)


@pytest.mark.parametrize(
    "origin", ["https://elsewhere.test", "http://intowork.test", "https://intowork.test.evil.test", "null"]
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_an_origin_that_is_not_listed_gets_no_permission(api: httpx.Client, origin: str, method: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    assert "Access-Control-Allow-Origin" not in api.request(method, "/health", headers=headers).headers


def test_without_listed_origins_nobody_gets_permission(production: Server) -> None:
    answer = production.get("/health", headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_listed_origin_can_read_errors_too(api: httpx.Client) -> None:
    answer = api.post("/health", content=b"x" * 1_048_577, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (413, ORIGIN)


@pytest.mark.parametrize("what", ANYTHING)
def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes(production: Server, what: str) -> None:
    head = f"{what} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n".encode()
    assert answered(production, [head]).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("what", ANYTHING)
def test_a_body_that_grows_too_long_is_refused_before_its_end(production: Server, what: str) -> None:
    head = f"{what} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"3e8\r\n" + b"x" * 1_000 + b"\r\n"
    assert answered(production, [head, chunk, chunk, chunk]).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 404), (LIMIT + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_limit_itself_is_allowed(production: Server, size: int, status: int, chunked: bool) -> None:
    def parts() -> Iterator[bytes]:
        for begin in range(0, size, 700):
            yield b"x" * min(700, size - begin)

    content = parts() if chunked else b"x" * size
    assert production.request("POST", "/nowhere", content=content).status_code == status


def test_a_chunked_body_reaches_its_route_whole(production: Server) -> None:
    answer = production.request(
        "POST",
        "/api/auth/login",
        content=iter([b'{"email": "nobody@exam', b'ple.com", "pass', b'word": "not the right one"}']),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 401


def test_a_client_that_leaves_in_the_middle_of_a_body_disturbs_nobody(production: Server) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\nxxx"
    with socket.create_connection(("127.0.0.1", production.port), timeout=20) as connection:
        connection.sendall(head)
    assert production.get("/health").status_code == 200
    assert "Traceback" not in production.output()


def answered(server: Server, parts: list[bytes]) -> bytes:
    """All that the server sends until it closes the connection, without the rest of the request."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        return b"".join(iter(lambda: connection.recv(65_536), b""))
