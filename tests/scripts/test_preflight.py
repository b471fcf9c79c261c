"""What scripts/try and scripts/test say about a machine on which they cannot work."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from scripts.support import preflight


def test_another_system_is_told_so_and_nothing_else_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    (problem,) = preflight.problems()
    assert "this is Darwin" in problem.what
    assert "Debian 12" in problem.do


def test_all_problems_come_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "9", "2"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    found = [problem.what for problem in preflight.problems()]
    assert any("Python 3.9.2" in what for what in found)
    assert any("not root" in what for what in found)
    assert any("packages come from apt-get" in what for what in found)


def test_too_little_disk_is_named_with_the_figure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "STATE", tmp_path)
    monkeypatch.setattr(preflight, "LEAST_DISK_GB", 1e9)
    problems = list(preflight.check_disk())
    assert problems
    assert "1000000000 GB are needed" in problems[0].what


def test_too_little_memory_is_named_with_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LEAST_MEMORY_GB", 1e6)
    (problem,) = preflight.check_memory()
    assert "1000000 GB are needed" in problem.what


def test_an_archive_instead_of_a_clone_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    (problem,) = preflight.check_checkout()
    assert "not a git checkout" in problem.what


def test_os_release_is_read_without_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text('ID=ubuntu\nID_LIKE="debian"\n\n# note\n')
    assert preflight.os_release(path) == {"ID": "ubuntu", "ID_LIKE": "debian"}
    assert preflight.os_release(tmp_path / "none") == {}


def test_a_problem_says_what_to_do() -> None:
    assert str(preflight.Problem("no bread", "Bake some.")) == "no bread\n      Bake some."
