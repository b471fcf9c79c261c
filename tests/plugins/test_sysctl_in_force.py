"""The module sysctl_in_force: what it writes, and what it says about a kernel that cannot be set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sysctl_in_force
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A tree like /proc/sys."""
    root = tmp_path / "sys"
    (root / "net" / "ipv4").mkdir(parents=True)
    (root / "net" / "ipv4" / "ip_local_port_range").write_text("32768\t60999\n")
    (root / "net" / "ipv4" / "tcp_syncookies").write_text("1\n")
    return root


def run(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    with patch_module_args(options), pytest.raises(SystemExit):
        sysctl_in_force.main()
    return dict(json.loads(capsys.readouterr().out))


def test_value_of_several_numbers_is_compared_word_by_word(kernel: Path) -> None:
    assert sysctl_in_force.compare({"net.ipv4.ip_local_port_range": "32768 60999"}, kernel) == ({}, {})


def test_setting_that_differs_is_returned_with_what_runs(kernel: Path) -> None:
    assert sysctl_in_force.compare({"net.ipv4.tcp_syncookies": 0}, kernel) == (
        {"net.ipv4.tcp_syncookies": "1"},
        {},
    )


def test_setting_that_the_kernel_does_not_have_is_said(kernel: Path) -> None:
    differing, unreadable = sysctl_in_force.compare({"net.ipv4.nothing": 1}, kernel)
    assert differing == {}
    assert "does not show it" in unreadable["net.ipv4.nothing"]


def test_name_with_slashes_may_have_dots_in_it(kernel: Path) -> None:
    file = sysctl_in_force.kernel_file("net/ipv4/conf/eth0.7/forwarding", kernel)
    assert file == kernel / "net/ipv4/conf/eth0.7/forwarding"


def test_file_has_every_setting_in_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "60-bundle.conf"
    result = run(capsys, path=str(path), settings={"no.such.b": 2, "no.such.a": "1  3"})
    assert result["changed"]
    assert path.read_text().endswith("no.such.a = 1 3\nno.such.b = 2\n")


def test_second_run_changes_nothing_where_the_kernel_cannot_be_set(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = {"path": str(tmp_path / "60-bundle.conf"), "settings": {"no.such.setting": 1}}
    run(capsys, **options)
    again = run(capsys, **options)
    assert not again["changed"]
    assert "no.such.setting" in again["not_in_force"]


def test_check_mode_shows_the_file_and_writes_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "60-bundle.conf"
    result = run(capsys, path=str(path), settings={"no.such.setting": 1}, _ansible_check_mode=True)
    assert result["changed"]
    assert "no.such.setting = 1" in result["diff"][0]["after"]
    assert not path.exists()
