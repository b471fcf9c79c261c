"""What module host_probe reads, from the texts of other machines and from this one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import host_probe
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_debian_is_read() -> None:
    text = (
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'
    )
    assert host_probe.read_os(text) == {
        "id": "debian",
        "name": "Debian GNU/Linux",
        "pretty_name": "Debian GNU/Linux 12 (bookworm)",
        "version": "12",
        "major": 12,
    }


@pytest.mark.parametrize(("text", "major"), [("ID=ubuntu\nVERSION_ID='22.04'", 22), ("ID=arch", 0), ("", 0)])
def test_other_systems_are_read(text: str, major: int) -> None:
    assert host_probe.read_os(text)["major"] == major


def test_memory_is_in_mb() -> None:
    assert host_probe.read_memory_mb("MemTotal:        2015704 kB\nMemFree: 1 kB\n") == 1968


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000", "0.0.0.0"),
        ("00000000000000000000000000000000", "::"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
    ],
)
def test_address_of_the_kernel_is_read(text: str, address: str) -> None:
    assert host_probe.read_address(text) == address


def test_only_listening_sockets_are_read() -> None:
    text = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1538 00000000:0000 0A 0:0 00:0 0 105 0 4242 1\n"
        "   1: 0100007F:1538 0100007F:9C40 01 0:0 00:0 0 105 0 4243 1\n"
    )
    assert host_probe.read_listening(text) == [("4242", "127.0.0.1", 5432)]


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (
            "0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
            "postgresql@15-main.service",
        ),
        ("1:name=systemd:/system.slice/haproxy.service\n", "haproxy.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
        ("", ""),
    ],
)
def test_unit_of_a_process_is_read(text: str, unit: str) -> None:
    assert host_probe.read_unit(text) == unit


def test_own_listening_socket_is_found_with_its_program() -> None:
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        server.listen()
        port = server.getsockname()[1]
        [found] = [entry for entry in host_probe.listeners(Path("/proc")) if entry["port"] == port]
    assert found["address"] == "::1"
    assert found["pid"] == os.getpid()
    assert found["process"] == Path("/proc/self/comm").read_text().strip()


def test_space_of_a_path_that_is_not_there_is_that_of_its_parent(tmp_path: Path) -> None:
    found = host_probe.space(str(tmp_path / "not" / "yet"))
    assert found["exists"] is False
    assert found["existing"] == str(tmp_path)
    assert found["device"] == tmp_path.stat().st_dev
    assert found["free_mb"] > 0


def test_module_runs_with_the_system_s_python_in_check_mode() -> None:
    arguments = json.dumps({"paths": ["/nowhere/at/all"]})
    binary = Path(sys.executable).with_name("ansible")
    done = subprocess.run(
        [
            binary,
            "-i",
            "localhost,",
            "-c",
            "local",
            "localhost",
            "-m",
            "host_probe",
            "-a",
            arguments,
            "--check",
        ],
        cwd=ROOT,
        env=os.environ
        | {"ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found, _ = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("{"))
    result = found["plays"][0]["tasks"][0]["hosts"]["localhost"]
    assert result["changed"] is False
    assert result["probe"]["space"]["/nowhere/at/all"]["existing"] == "/"
    assert result["probe"]["cpus"] >= 1
