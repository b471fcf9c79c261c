"""What api_colour reads, writes and asks on a host; its units are tested on hosts."""

from __future__ import annotations

import os
import socket
import string
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from api_colour import (
    Product,
    advice,
    changed_settings,
    check_program,
    forget_settings,
    impossible_names,
    is_ready,
    pass_probe,
    read,
    settings,
    wait_for,
    with_kept,
    write,
)
from hypothesis import given
from hypothesis import strategies as st
from real_module import run

NAMES = st.text(string.ascii_uppercase + "_", min_size=1)
SETTINGS = st.dictionaries(
    NAMES, st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"))
)


def file_of(settings: dict[str, str]) -> str:
    """Return the settings as the role's template writes them."""
    quoted = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in settings.items()}
    return "# unit abc\n" + "".join(f'{name}="{value}"\n' for name, value in sorted(quoted.items()))


@given(SETTINGS, SETTINGS)
def test_names_of_the_settings_that_differ_are_returned_and_no_values(
    old: dict[str, str], new: dict[str, str]
) -> None:
    differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    assert changed_settings(file_of(old), file_of(new)) == differing


def test_no_line_of_a_secret_with_several_lines_is_returned() -> None:
    old, new = "-----BEGIN\nTz9d=\n# Kc4m\nX=1\n-----END", "-----BEGIN\nVq7p=\n-----END"
    assert changed_settings(file_of({"KEY": old}), file_of({"KEY": new})) == ["KEY"]


def test_changed_unit_counts_as_a_change() -> None:
    assert changed_settings("# unit abc\n", "# unit def\n") == ["# unit abc", "# unit def"]


@pytest.mark.parametrize("before", ['\nA="1"\n', "A=1\n", 'A="1"', 'A="1"\nhalf'])
def test_file_that_somebody_edited_is_a_change(before: str) -> None:
    assert changed_settings(before, 'A="1"\n') != []


def test_all_settings_are_new_on_the_first_deploy() -> None:
    assert changed_settings("", 'B="1"\nA="2"\n') == ["A", "B"]


def test_name_that_systemd_would_drop_is_refused_without_its_value(tmp_path: Path) -> None:
    environment = file_of({"RIGHT": "1", "FEATURE-X": "Tz9d", "9LIVES": "Tz9d", "A B": "Tz9d"})
    assert impossible_names(environment) == ["9LIVES", "A B", "FEATURE-X"]
    done = run("api_colour", name="shop", root=str(tmp_path), environment=environment)
    assert done["failed"]
    assert "9LIVES, A B, FEATURE-X" in done["msg"]
    assert "api_environment" in done["msg"]
    assert "Tz9d" not in str(done)


@given(SETTINGS)
def test_ordinary_names_are_not_refused(settings: dict[str, str]) -> None:
    assert impossible_names(file_of(settings)) == []


def test_settings_are_for_root_only_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "shop/blue.env"
    write(path, 'A="é\r\n"\n')
    assert path.stat().st_mode & 0o7777 == 0o600
    assert read(path) == 'A="é\r\n"\n'
    assert [each.name for each in path.parent.iterdir()] == ["blue.env"]


def test_settings_do_not_go_into_what_a_killed_run_left_open(tmp_path: Path) -> None:
    left = tmp_path / ".blue.env.new"
    left.touch(mode=0o666)
    left.chmod(0o666)
    write(tmp_path / "blue.env", "secret")
    assert (tmp_path / "blue.env").stat().st_mode & 0o7777 == 0o600


def test_settings_that_were_never_written_are_none(tmp_path: Path) -> None:
    assert read(tmp_path / "blue.env") == ""


def test_link_is_never_missing_while_it_changes(tmp_path: Path) -> None:
    product = Product("shop", str(tmp_path))
    product.point("current", "blue")
    done, missing = threading.Event(), []

    def watch() -> None:
        while not done.is_set():
            if product.current() not in ("blue", "green"):
                missing.append(product.current())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(2000):
        product.point("current", "green" if number % 2 else "blue")
    done.set()
    watcher.join()
    assert missing == []
    assert [path.name for path in tmp_path.iterdir()] == ["current"]


def test_link_is_set_over_what_a_killed_run_left(tmp_path: Path) -> None:
    product = Product("shop", str(tmp_path))
    (tmp_path / ".blue.new").symlink_to("releases/half")
    product.point("blue", "releases/aaa")
    product.point("current", "blue")
    assert (product.current(), product.release("blue")) == ("blue", "aaa")


def test_nothing_serves_on_a_new_host(tmp_path: Path) -> None:
    product = Product("shop", str(tmp_path / "absent"))
    assert (product.current(), product.release("blue"), product.release(None)) == (None, None, None)


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that its path names, or with one after the other of several."""

    asked = 0

    def do_GET(self) -> None:
        body = b"the pool is full"
        statuses = self.path[1:].split(",")
        self.send_response(int(statuses[min(Handler.asked, len(statuses) - 1)]))
        Handler.asked += 1
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """A real HTTP server's URL."""
    Handler.asked = 0
    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_colour_that_answers_200_is_ready(server: str) -> None:
    assert is_ready(f"{server}/200") is None


@pytest.mark.parametrize("status", [503, 404, 500])
def test_other_answer_is_returned_with_its_words(server: str, status: int) -> None:
    assert is_ready(f"{server}/{status}") == f"status {status}: the pool is full"


def test_success_without_200_is_not_ready(server: str) -> None:
    assert is_ready(f"{server}/202") == "status 202"


def test_proxy_of_the_environment_is_not_asked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert os.environ["http_proxy"]
    assert is_ready(f"{server}/200") is None


def test_port_where_nobody_listens_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert "Connection refused" in str(is_ready(f"http://127.0.0.1:{taken.getsockname()[1]}/"))


def test_answer_that_is_no_http_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "SSH-2.0" in str(is_ready(f"http://127.0.0.1:{listening.getsockname()[1]}/"))
        thread.join()


KEPT = file_of({"DATABASE_URL": "old", "JWT": "old", "LIMIT": "10", "GONE": "1"})
NOW = file_of({"DATABASE_URL": "new", "JWT": "new", "LIMIT": "20", "ADDED": "1"}).replace(
    "unit abc", "unit def"
)


def test_a_release_gets_the_settings_back_that_it_had_and_the_secrets_of_now() -> None:
    wanted = with_kept(KEPT, NOW, ["DATABASE_URL", "JWT"])
    assert settings(wanted) == {
        "# unit def": "",
        "DATABASE_URL": "new",
        "JWT": "new",
        "LIMIT": "10",
        "GONE": "1",
    }


def test_a_secret_of_several_lines_comes_over_whole() -> None:
    key = 'one\n"two"\\three'
    assert (
        settings(with_kept(KEPT, file_of({"JWT": key}), ["JWT"]))["JWT"]
        == settings(file_of({"JWT": key}))["JWT"]
    )


def test_a_release_that_never_ran_here_gets_the_settings_of_now() -> None:
    assert with_kept("", NOW, ["JWT"]) == NOW


def test_the_same_settings_twice_are_no_change() -> None:
    once = with_kept(KEPT, NOW, ["JWT"])
    assert with_kept(once, NOW, ["JWT"]) == once


def test_a_release_that_is_not_staged_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "releases" / "aaa").mkdir(parents=True)
    (tmp_path / "releases" / "aaa" / "manifest.json").write_text("{}")
    done = run(
        "api_colour",
        name="shop",
        root=str(tmp_path),
        state="ready",
        colour="blue",
        release="bbb",
        ready_url="http://127.0.0.1:1/",
    )
    assert done["failed"]
    assert "Release bbb is not staged on this host; here are aaa." in done["msg"]


def test_an_answer_that_becomes_right_in_time_is_waited_for(server: str) -> None:
    assert wait_for(f"{server}/503,500,200", 5) is None


def test_an_answer_that_stays_wrong_is_returned_when_its_time_is_over(server: str) -> None:
    assert wait_for(f"{server}/500", 0.3) == "status 500: the pool is full"


class RefusedError(Exception):
    """The module has failed with this message."""


def asked_to(**params: Any) -> Any:
    """What a function of the module gets to know: its options, and how it fails."""

    def fail_json(msg: str) -> None:
        raise RefusedError(msg)

    known = {"release": "0123456789ab", "colour": "blue", "probe_requests": 20, "program": "uvicorn"}
    return SimpleNamespace(params=known | params, fail_json=fail_json)


class Kept(Product):
    """A product whose settings are kept below its root."""

    def kept_file(self, release: str) -> Path:
        return self.root / "etc" / f"{release}.env"


def test_release_without_the_program_that_starts_it_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    programs = tmp_path / "releases/0123456789ab/venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "gunicorn", "activate", "Activate.ps1"):
        (programs / name).touch()
    with pytest.raises(RefusedError, match='"uvicorn", which release 0123456789ab does not have') as refused:
        check_program(asked_to(), Product("shop", str(tmp_path)))
    assert "its programs are gunicorn, python. Name one of them" in str(refused.value)
    check_program(asked_to(program="gunicorn"), Product("shop", str(tmp_path)))


def test_words_about_prepared_statements_are_answered_with_what_to_set() -> None:
    said = advice(
        "status 500", 'psycopg.errors.DuplicatePreparedStatement: prepared statement "_pg3_0" already exists'
    )
    assert 'prepared statement "_pg3_0" already exists' in said
    assert "prepare_threshold=None" in said
    assert "bundle_pool_mode: session" in said


def test_words_about_something_else_are_not() -> None:
    assert advice("status 500", "KeyError: 'SHOP_PICTURES'") == ""


def test_release_that_stood_a_crowd_is_not_asked_again_with_the_same_settings(
    tmp_path: Path, server: str
) -> None:
    product, module = Kept("shop", str(tmp_path)), asked_to(smoke_urls=[f"{server}/200"])
    Handler.asked = 0
    pass_probe(module, product, 'A="1"\n')
    pass_probe(module, product, 'A="1"\n')
    assert Handler.asked == 20
    pass_probe(module, product, 'A="2"\n')
    assert Handler.asked == 40
    assert product.proven_file("0123456789ab").stat().st_mode & 0o777 == 0o600


def test_release_that_fails_a_crowd_is_refused_each_time(tmp_path: Path, server: str) -> None:
    product, module = Kept("shop", str(tmp_path)), asked_to(smoke_urls=[f"{server}/500"])
    words = "became ready, but failed 20 of 20 requests that came 6 at once"
    for _again in range(2):
        with pytest.raises(RefusedError, match=words):
            pass_probe(module, product, 'A="1"\n')


def test_crowd_that_a_busy_machine_failed_comes_again_before_a_release_is_refused(
    tmp_path: Path, server: str
) -> None:
    Handler.asked = 0
    with pytest.raises(RefusedError):
        pass_probe(asked_to(smoke_urls=[f"{server}/500"]), Kept("shop", str(tmp_path)), 'A="1"\n')
    assert Handler.asked == 60


def test_what_is_kept_of_a_release_goes_with_it(tmp_path: Path) -> None:
    product = Kept("shop", str(tmp_path))
    (tmp_path / "releases/0123456789ab").mkdir(parents=True)
    for release in ("0123456789ab", "ffffffffffff"):
        write(product.kept_file(release), "")
        write(product.proven_file(release), "")
    forget_settings(product)
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == [
        "0123456789ab.env",
        "0123456789ab.proven",
    ]
