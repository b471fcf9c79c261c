"""A real release on a host: staged whole or not at all, and never changed again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from real_module import answer, run, start
from tiny_product import FILES, Product


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What release_build answered: a real archive and its checksum."""
    directory = tmp_path_factory.mktemp("built")
    product = Product.make(directory / "product")
    built: dict[str, Any] = run("release_build", **product.options(directory / "cache"))
    return built


@pytest.fixture
def given(archive: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The options that stage the release below the test's directory."""
    options = {key: archive[key] for key in ("id", "archive", "checksum")}
    return options | {"directory": str(tmp_path / "releases")}


def release(given: dict[str, Any]) -> Path:
    return Path(given["directory"], given["id"])


def everything(directory: Path) -> dict[str, tuple[int, int]]:
    """Return the inode and the change time of every file and directory below."""
    found = [directory, *directory.rglob("*")]
    return {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in found}


def imports_its_package(given: dict[str, Any]) -> bool:
    python = release(given) / "venv/bin/python"
    done = subprocess.run(
        [python, "-c", "import shop, six; print(six.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        cwd=release(given) / "source",
    )
    return done.stdout.startswith(str(release(given)))


def killer(directory: Path, program: str) -> str:
    """Return a PATH on which the program does its work and then kills whoever started it."""
    wrapper = directory / "bin" / program
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n/usr/bin/{program} "$@"\nkill -9 $PPID\n')
    wrapper.chmod(0o755)
    return f"{wrapper.parent}:{os.environ['PATH']}"


def test_release_has_its_source_and_imports_its_packages(given: dict[str, Any]) -> None:
    assert run("release_stage", **given)["changed"]
    assert imports_its_package(given)
    for name, content in FILES.items():
        assert (release(given) / "source" / name).read_text() == content


def test_second_run_changes_nothing_on_the_disk(given: dict[str, Any]) -> None:
    run("release_stage", **given)
    before = everything(release(given))
    assert not run("release_stage", **given)["changed"]
    assert everything(release(given)) == before


def test_release_that_runs_does_not_change(given: dict[str, Any]) -> None:
    run("release_stage", **given)
    before = everything(release(given))
    assert imports_its_package(given)
    assert everything(release(given)) == before


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_everybody_may_read_a_release_and_only_its_owner_change_it(given: dict[str, Any], umask: int) -> None:
    assert answer(start("release_stage", given, umask=umask))["changed"]
    for path in (release(given), *release(given).rglob("*")):
        if path.is_symlink() or path.name == ".lock":
            continue
        mode = path.stat().st_mode & 0o777
        assert mode & 0o022 == 0, f"{path} {mode:o}"
        assert mode & 0o444 == 0o444, f"{path} {mode:o}"


@pytest.mark.parametrize("damage", ["cut off", "one byte"])
def test_archive_that_is_not_what_was_built_is_refused(
    given: dict[str, Any], tmp_path: Path, damage: str
) -> None:
    content = bytearray(Path(given["archive"]).read_bytes())
    if damage == "cut off":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    (tmp_path / "damaged.tar.gz").write_bytes(content)
    done = run("release_stage", **given | {"archive": str(tmp_path / "damaged.tar.gz")})
    assert done["failed"]
    assert f"{tmp_path}/damaged.tar.gz is not what was built" in done["msg"]
    assert f"not {given['checksum']}" in done["msg"]
    assert not release(given).exists()


def test_missing_archive_is_named(given: dict[str, Any], tmp_path: Path) -> None:
    done = run("release_stage", **given | {"archive": str(tmp_path / "absent.tar.gz")})
    assert done["failed"]
    assert f"{tmp_path}/absent.tar.gz" in done["msg"]
    assert "nothing was switched" in done["msg"]
    assert not release(given).exists()


@pytest.mark.parametrize("program", ["tar", "sync"])
def test_run_that_is_killed_leaves_nothing_that_looks_whole_and_the_next_finishes(
    given: dict[str, Any], tmp_path: Path, program: str
) -> None:
    environment = os.environ | {"PATH": killer(tmp_path, program)}
    killed = start("release_stage", given, env=environment)
    assert killed.wait(timeout=60) == -9
    assert (release(given) / "source/shop.py").exists()
    assert not (release(given) / "manifest.json").exists()
    assert run("release_stage", **given)["changed"]
    assert imports_its_package(given)
    assert [path.name for path in release(given).iterdir() if path.name.startswith(".")] == []


def test_host_without_that_python_is_told_so_and_keeps_nothing(given: dict[str, Any]) -> None:
    done = run("release_stage", **given | {"python": "/usr/bin/python9"})
    assert done["failed"]
    assert "/usr/bin/python9" in done["msg"]
    assert not release(given).exists()


def test_check_mode_needs_no_archive_and_makes_nothing(given: dict[str, Any], tmp_path: Path) -> None:
    options = given | {"archive": str(tmp_path / "later.tar.gz")}
    assert run("release_stage", **options, _ansible_check_mode=True)["changed"]
    assert list(tmp_path.iterdir()) == []
