"""Old releases go; what serves and what a rollback needs stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from real_module import run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A product with releases r1 to r8, staged in that order; blue runs r2, green r8, the pair before was r1."""
    for number in range(1, 9):
        release = tmp_path / "releases" / f"r{number}"
        release.mkdir(parents=True)
        (release / "manifest.json").write_text("{}")
        os.utime(release / "manifest.json", (number, number))
    (tmp_path / "archives").mkdir()
    for number in range(1, 9):
        (tmp_path / "archives" / f"r{number}.tar.gz").touch()
    (tmp_path / "blue").symlink_to("releases/r2")
    (tmp_path / "green").symlink_to("releases/r8")
    (tmp_path / "current").symlink_to("green")
    record = {"pair": {"release": "r8", "revision": "b"}, "previous": {"release": "r1", "revision": "a"}}
    (tmp_path / "record.json").write_text(json.dumps(record))
    return tmp_path


def names(directory: Path) -> list[str]:
    return sorted(path.name.removesuffix(".tar.gz") for path in directory.iterdir())


def test_the_oldest_that_nothing_needs_go_with_their_archives(root: Path) -> None:
    assert run("release_prune", root=str(root), keep=2)["removed"] == ["r3", "r4", "r5"]
    assert names(root / "releases") == names(root / "archives") == ["r1", "r2", "r6", "r7", "r8"]


def test_with_nothing_to_keep_the_colours_and_the_pair_before_still_stay(root: Path) -> None:
    run("release_prune", root=str(root), keep=0)
    assert names(root / "releases") == ["r1", "r2", "r8"]


def test_second_run_changes_nothing(root: Path) -> None:
    run("release_prune", root=str(root), keep=2)
    assert run("release_prune", root=str(root), keep=2)["changed"] is False


def test_check_mode_names_them_and_removes_none(root: Path) -> None:
    said = run("release_prune", root=str(root), keep=2, _ansible_check_mode=True)
    assert said["removed"] == ["r3", "r4", "r5"]
    assert len(names(root / "releases")) == 8


def test_release_that_is_being_staged_stays(root: Path) -> None:
    (root / "releases" / "r3" / "manifest.json").unlink()
    run("release_prune", root=str(root), keep=0)
    assert "r3" in names(root / "releases")


@pytest.mark.parametrize("damage", ["", "{", '{"pair": {}}', '{"pair": {}, "previous": null}', "[]"])
def test_damaged_record_removes_nothing_and_says_why(root: Path, damage: str) -> None:
    (root / "record.json").write_text(damage)
    said = run("release_prune", root=str(root), keep=0)
    assert "record.json cannot be read" in said["msg"]
    assert len(names(root / "releases")) == 8


def test_negative_number_is_refused_with_what_is_allowed(root: Path) -> None:
    assert "0 or more" in run("release_prune", root=str(root), keep=-1)["msg"]
