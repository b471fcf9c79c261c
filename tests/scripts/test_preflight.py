"""What scripts/try and scripts/test say about a machine on which they cannot work."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.support import kernel_probe, preflight

NETWORK = "10.87.0.0/24"


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Let the machine have one route, in the words of /proc/net/route."""

    def write(line: str) -> None:
        (tmp_path / "route").write_text(f"Iface Destination Gateway …\n{line}\n")
        monkeypatch.setattr(preflight, "ROUTES", tmp_path / "route")

    return write


def probe(words: list[str], directory: Path) -> dict[str, str]:
    """What kernel_probe says, started by `words`."""
    command = [*words, "unshare", "--mount", "--net", sys.executable, kernel_probe.__file__, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_another_system_is_told_so_and_nothing_else_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    (problem,) = preflight.problems(NETWORK)
    assert "this is Darwin" in problem.what
    assert "Debian 12" in problem.do


def test_all_problems_come_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "9", "2"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    found = [problem.what for problem in preflight.problems(NETWORK)]
    assert any("Python 3.9.2" in what for what in found)
    assert any("not root" in what for what in found)
    assert any("packages come from apt-get" in what for what in found)


@pytest.mark.parametrize(
    ("image", "limit"),
    [
        (None, "LEAST_DISK_GB"),
        # A build that was killed has left it.
        (".building-bfd6fabe11bb4acf", "LEAST_DISK_GB"),
        ("bfd6fabe11bb4acf", "LEAST_DISK_WITH_IMAGE_GB"),
    ],
)
def test_too_little_disk_is_named_with_the_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: str | None, limit: str
) -> None:
    (tmp_path / "images" / (image or "")).mkdir(parents=True)
    monkeypatch.setattr(preflight, "STATE", tmp_path)
    for name in ("LEAST_DISK_GB", "LEAST_DISK_WITH_IMAGE_GB"):
        monkeypatch.setattr(preflight, name, 1e9 if name == limit else 0)
    problems = list(preflight.check_disk())
    assert problems
    assert "1000000000 GB are needed" in problems[0].what


def test_one_file_system_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "STATE", preflight.ROOT / "not" / "yet")
    monkeypatch.setattr(preflight, "LEAST_DISK_GB", 1e9)
    assert len(list(preflight.check_disk())) == 1


def test_missing_systemd_nspawn_that_apt_does_not_know_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda program: None if program == "systemd-nspawn" else found(program)
    )
    monkeypatch.setattr(preflight, "apt_knows", lambda _package: False)
    (problem,) = preflight.check_debian()
    assert "systemd-nspawn is not installed" in problem.what
    assert "apt-get update" in problem.do


def test_missing_systemd_nspawn_that_apt_can_install_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda program: None if program == "systemd-nspawn" else found(program)
    )
    monkeypatch.setattr(preflight, "apt_knows", lambda _package: True)
    assert list(preflight.check_debian()) == []


def test_machine_type_without_releases_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    (problem,) = preflight.check_machine()
    assert "of type riscv64; releases are made for x86_64 and aarch64" in problem.what


@pytest.mark.parametrize(
    ("inventory", "problems"), [("", 1), ("release_architecture: aarch64\n", 0), (None, 1)]
)
def test_machine_type_has_to_be_the_one_of_the_inventory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inventory: str | None, problems: int
) -> None:
    if inventory is not None:
        (tmp_path / "release.yml").write_text("release_ref: HEAD\n" + inventory)
    monkeypatch.setattr(preflight, "RELEASE_FILE", tmp_path / "release.yml")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    found = list(preflight.check_machine())
    assert len(found) == problems
    assert all("release_architecture: aarch64" in problem.do for problem in found)


def test_addresses_that_another_interface_has_are_told(
    monkeypatch: pytest.MonkeyPatch, routes: Callable[[str], None]
) -> None:
    routes("eth7 0000570A 00000000 0001 0 0 0 0000FFFF 0 0 0")  # 10.87.0.0/16
    (problem,) = preflight.check_network(NETWORK)
    assert "eth7 has 10.87.0.0/16 already" in problem.what


@pytest.mark.parametrize(
    "route",
    [
        "eth0 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0",  # the way out
        "eth0 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0",  # 192.168.1.0/24
        "tun0 0000000A 0101A8C0 0003 0 0 0 000000FF 0 0 0",  # 10.0.0.0/8, through a router
        "gb-try 0000570A 00000000 0001 0 0 0 00FFFFFF 0 0 0",  # the hosts themselves
    ],
)
def test_other_routes_are_in_nobody_s_way(routes: Callable[[str], None], route: str) -> None:
    routes(route)
    assert list(preflight.check_network(NETWORK)) == []


def test_this_kernel_can_do_what_hosts_need(tmp_path: Path) -> None:
    assert probe([], tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
    assert not Path("/sys/class/net/gb-probe").exists()


def test_kernel_that_refuses_is_asked_and_told_of(tmp_path: Path) -> None:
    # A container without this capability has namespaces, and is refused all that hosts need in them.
    found = probe(["setpriv", "--bounding-set=-net_admin"], tmp_path)
    assert found == {"bridge": "Operation not permitted", "nftables": "Operation not permitted"}


def test_file_system_that_carries_no_overlay_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "STATE", Path("/proc/not-yet"))
    (problem,) = preflight.check_kernel()
    assert "overlay mounts do not work below /proc" in problem.what


def test_too_little_memory_is_named_with_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LEAST_MEMORY_GB", 1e6)
    (problem,) = preflight.check_memory()
    assert "1000000 GB are needed" in problem.what


def test_an_archive_instead_of_a_clone_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    (problem,) = preflight.check_checkout()
    assert "not a git checkout" in problem.what


def test_a_clone_without_a_commit_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    (problem,) = preflight.check_checkout()
    assert "has no commit" in problem.what
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "First"], check=True)
    assert list(preflight.check_checkout()) == []


def test_os_release_is_read_without_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text('ID=ubuntu\nID_LIKE="debian"\n\n# note\n')
    assert preflight.os_release(path) == {"ID": "ubuntu", "ID_LIKE": "debian"}
    assert preflight.os_release(tmp_path / "none") == {}


def test_a_problem_says_what_to_do() -> None:
    assert str(preflight.Problem("no bread", "Bake some.")) == "no bread\n      Bake some."
