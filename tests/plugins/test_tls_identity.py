"""The module tls_identity: a key and a certificate that stay while they are good, read by openssl itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import real_module

NAME = "203.0.113.11"


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The module's options for files in a directory that is not there yet."""
    place = tmp_path / "tls"
    files = {
        "key": str(place / "host.key"),
        "certificate": str(place / "host.crt"),
        "trusted": str(place / "peer.crt"),
    }
    return {**files, "name": NAME, "group": "root"}


def make(options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Run the module; it must not fail."""
    answer = real_module.run("tls_identity", **{**options, **more})
    assert not answer.get("failed"), answer["msg"]
    return answer


def test_second_run_changes_nothing(options: dict[str, Any]) -> None:
    first, second = make(options), make(options)
    assert (first["changed"], second["changed"]) == (True, False)
    assert second["certificate"] == first["certificate"]


def test_certificate_is_trusted_by_who_has_it_and_for_its_name_alone(options: dict[str, Any]) -> None:
    make(options)
    certificate = options["certificate"]
    for name, verified in ((NAME, True), ("203.0.113.12", False)):
        words = ["openssl", "verify", "-CAfile", certificate, "-verify_hostname", name, certificate]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is verified, done.stdout + done.stderr


def test_key_is_for_its_group_and_nobody_else(options: dict[str, Any]) -> None:
    make(options)
    assert Path(options["key"]).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "203.0.113.12"}, "is not for 203.0.113.12"),
        ({"renew_days": 4000}, "ends within 4000 days"),
    ],
)
def test_certificate_that_does_not_fit_any_more_is_made_anew(
    options: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    before = make(options)
    after = make(options, **change)
    assert after["reason"].endswith(reason)
    assert after["certificate"] != before["certificate"]


@pytest.mark.parametrize("lost", ["key", "certificate"])
def test_both_are_made_anew_where_one_is_lost(options: dict[str, Any], lost: str) -> None:
    before = make(options)
    Path(options[lost]).unlink()
    after = make(options)
    assert after["reason"] == f"{options[lost]} is missing"
    assert after["certificate"] != before["certificate"]
    assert not make(options)["changed"]


def test_certificate_of_another_key_is_made_anew(options: dict[str, Any], tmp_path: Path) -> None:
    make(options)
    make({**options, "key": str(tmp_path / "other.key"), "certificate": str(tmp_path / "other.crt")})
    (tmp_path / "other.key").rename(options["key"])
    assert "does not belong to" in make(options)["reason"]
    assert not make(options)["changed"]


def test_check_mode_makes_nothing_and_says_why_it_would(options: dict[str, Any]) -> None:
    answer = make(options, _ansible_check_mode=True)
    assert answer["changed"]
    assert answer["certificate"] == ""
    assert not Path(options["key"]).parent.exists()


def test_certificate_of_the_other_host_is_told(options: dict[str, Any]) -> None:
    make(options)
    Path(options["trusted"]).write_text("the other's\n")
    assert make(options)["trusted"] == "the other's\n"


def test_group_that_is_not_there_is_named(options: dict[str, Any]) -> None:
    answer = real_module.run("tls_identity", **{**options, "group": "nobody-of-this-name"})
    assert answer["failed"]
    assert '"nobody-of-this-name"' in answer["msg"]
