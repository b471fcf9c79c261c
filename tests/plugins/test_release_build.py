"""A release is built once and whole: real packages from the index, real git repositories, builds that are killed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from real_module import answer, run, start, wait_until
from tiny_product import FILES, Product

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def product(tmp_path: Path) -> Product:
    return Product.make(tmp_path / "product")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Product, Path, dict[str, Any]]:
    """A product, the cache, and what the module answered when it built the release there, under a strict umask."""
    directory = tmp_path_factory.mktemp("built")
    product = Product.make(directory / "product")
    cache = directory / "cache"
    return product, cache, answer(start("release_build", product.options(cache), umask=0o077))


def members(archive: str) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_archive_is_what_its_checksum_says(built: tuple[Product, Path, dict[str, Any]]) -> None:
    done = built[2]
    assert done["built"]
    assert hashlib.sha256(Path(done["archive"]).read_bytes()).hexdigest() == done["checksum"]


def test_archive_has_source_packages_and_manifest(built: tuple[Product, Path, dict[str, Any]]) -> None:
    names = members(built[2]["archive"]).keys()
    assert {f"source/{name}" for name in FILES} < names
    assert {"manifest.json", "site-packages/six.py", "site-packages/six-1.17.0.dist-info/METADATA"} < names


def test_archive_has_bytecode_for_the_hosts(built: tuple[Product, Path, dict[str, Any]]) -> None:
    tag = sys.implementation.cache_tag
    compiled = {f"source/__pycache__/shop.{tag}.pyc", f"site-packages/__pycache__/six.{tag}.pyc"}
    assert (compiled < members(built[2]["archive"]).keys()) == (HERE == "3.11")


def test_archive_is_readable_by_all_and_writable_by_root_whatever_the_umask_was(
    built: tuple[Product, Path, dict[str, Any]],
) -> None:
    every = members(built[2]["archive"]).values()
    assert {member.mode for member in every if member.isdir()} == {0o755}
    assert {member.mode for member in every if member.isfile()} <= {0o644, 0o755}
    assert {(member.uid, member.gid) for member in every} == {(0, 0)}


def test_manifest_says_what_the_release_is(built: tuple[Product, Path, dict[str, Any]]) -> None:
    product, _, done = built
    manifest = done["manifest"]
    assert manifest["id"] == done["id"] == Path(done["archive"]).parent.name
    assert manifest["commit"] == done["commit"] == product.git("rev-parse", "HEAD")
    assert manifest["tree"] == product.git("rev-parse", "HEAD:backend")
    assert (manifest["ref"], manifest["alembic_heads"], manifest["python"]) == ("main", ["a1"], "3.11")
    with tarfile.open(done["archive"]) as tar:
        inside = tar.extractfile("manifest.json")
        assert inside
        assert json.load(inside) == manifest


def test_same_code_is_not_built_again(built: tuple[Product, Path, dict[str, Any]]) -> None:
    product, cache, first = built
    product.commit(folder="inventories", **{"bundle.yml": "a: 1\n"})
    second = run("release_build", **product.options(cache))
    assert not second["built"]
    assert (second["archive"], second["checksum"]) == (first["archive"], first["checksum"])
    assert second["manifest"] == first["manifest"]
    assert second["commit"] != first["commit"]


def test_release_is_named_without_being_built(product: Product, tmp_path: Path) -> None:
    named = run("release_build", **product.options(tmp_path / "cache", build=False))
    assert not named["built"]
    assert named["checksum"] is None
    assert named["manifest"]["alembic_heads"] == ["a1"]
    assert not (tmp_path / "cache").exists()


def test_check_mode_builds_what_it_renders_migrations_with(
    built: tuple[Product, Path, dict[str, Any]],
) -> None:
    product, cache, _ = built
    options = product.options(cache, rendering=True, _ansible_check_mode=True)
    running = [start("release_build", options) for _ in range(2)]
    pythons = {answer(process)["rendering_python"] for process in running}
    shown = subprocess.run(
        [pythons.pop(), "-c", "import six; print(six.__version__)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "1.17.0\n"
    assert not pythons


def test_two_builds_at_once_make_one_release(product: Product, tmp_path: Path) -> None:
    running = [start("release_build", product.options(tmp_path / "cache")) for _ in range(3)]
    done = [answer(process) for process in running]
    assert sum(each["built"] for each in done) == 1
    assert len({(each["archive"], each["checksum"]) for each in done}) == 1
    releases = tmp_path / "cache/releases"
    assert [path.name for path in releases.iterdir() if path.is_dir()] == [done[0]["id"]]


def test_build_that_is_killed_leaves_nothing_and_the_next_clears_up(product: Product, tmp_path: Path) -> None:
    releases = tmp_path / "cache/releases"
    named = run("release_build", **product.options(tmp_path / "cache", build=False))["id"]
    running = start("release_build", product.options(tmp_path / "cache"))
    wait_until(lambda: any(releases.glob(".building-*/release/source/shop.py")), "an unpacked source")
    os.killpg(running.pid, 9)
    running.wait()
    assert not (releases / named).exists()
    assert list(releases.glob(".building-*"))
    assert run("release_build", **product.options(tmp_path / "cache"))["built"]
    assert [path.name for path in releases.iterdir() if path.is_dir()] == [named]


def refused(product: Product, cache: Path, lock: str) -> str:
    """Return why a release with this lock file is not built; nothing of it is left."""
    product.commit(**{"requirements.lock": lock})
    done = run("release_build", **product.options(cache))
    assert done["failed"]
    assert [path.name for path in (cache / "releases").iterdir() if path.is_dir()] == []
    return str(done["msg"])


def test_lock_file_without_hashes_is_refused_with_the_package(product: Product, tmp_path: Path) -> None:
    said = refused(product, tmp_path / "cache", "six==1.17.0\n")
    assert "Hashes are required" in said
    assert "six==1.17.0" in said
    assert "requirements.lock" in said


def test_package_that_is_not_the_locked_one_is_refused(product: Product, tmp_path: Path) -> None:
    said = refused(product, tmp_path / "cache", f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    assert "DO NOT MATCH THE HASHES" in said
    assert "six==1.17.0" in said
    assert "0" * 64 in said


def test_package_without_a_wheel_for_the_hosts_is_refused(product: Product, tmp_path: Path) -> None:
    said = refused(product, tmp_path / "cache", f"docopt==0.6.2 --hash=sha256:{'0' * 64}\n")
    assert "No matching distribution found for docopt==0.6.2" in said
    assert "a wheel for the hosts' Python" in said
    assert "Python 3.11 on x86_64" in said


def test_unknown_ref_is_refused_before_anything_is_made(product: Product, tmp_path: Path) -> None:
    done = run("release_build", **product.options(tmp_path / "cache", ref="v9"))
    assert done["failed"]
    assert 'release_ref "v9"' in done["msg"]
    assert not (tmp_path / "cache").exists()


def test_archive_that_was_corrupted_is_built_anew(product: Product, tmp_path: Path) -> None:
    options = product.options(tmp_path / "cache")
    archive = Path(run("release_build", **options)["archive"])
    whole = archive.read_bytes()
    archive.write_bytes(whole[:100] + b"\0" * 100 + whole[200:])
    again = run("release_build", **options)
    assert again["built"]
    assert f"{archive} is not what was built, so it is built anew." in str(again["warnings"])
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == again["checksum"]
    assert not run("release_build", **options)["built"]


PYPROJECT = """
[build-system]
requires = ["flit_core>=3.4,<5"]
build-backend = "flit_core.buildapi"

[project]
name = "shop"
version = "1.2.3"
description = "A shop"

[project.scripts]
shop = "shop.commands:main"
"""


def test_project_is_installed_beside_the_locked_packages_with_its_programs(
    product: Product, tmp_path: Path
) -> None:
    product.git("rm", "--quiet", "backend/shop.py")
    product.commit(**{"pyproject.toml": PYPROJECT, "src/shop/__init__.py": '"""A shop."""\n'})
    product.commit(**{"src/shop/commands.py": "def main(): print('open')\n"})
    done = run("release_build", **product.options(tmp_path / "cache", project=True, rendering=True))
    found = members(done["archive"])
    wanted = {"shop/commands.py", "shop-1.2.3.dist-info/METADATA", "bin/shop", "six.py"}
    assert {f"site-packages/{name}" for name in wanted} <= set(found)
    # What the build leaves beside the source is no part of the release.
    tracked = product.git("ls-tree", "-r", "--name-only", "HEAD:backend").splitlines()
    files = {name for name, member in found.items() if name.startswith("source/") and member.isfile()}
    assert {name for name in files if "__pycache__" not in name} == {f"source/{name}" for name in tracked}
    shown = subprocess.run(
        [done["rendering_python"], "-c", "import shop.commands; shop.commands.main()"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "open\n"


def test_project_is_another_release_than_the_same_code_without_being_installed(
    product: Product, tmp_path: Path
) -> None:
    options = product.options(tmp_path / "cache", build=False)
    assert run("release_build", **options)["id"] != run("release_build", **options, project=True)["id"]


def test_folder_that_is_no_project_is_refused_as_one(product: Product, tmp_path: Path) -> None:
    done = run("release_build", **product.options(tmp_path / "cache", project=True))
    assert done["failed"]
    assert "release_project is true, and no package can be made of the folder's pyproject.toml" in done["msg"]


def changed(product: Product, cache: Path) -> dict[str, Any]:
    """Build a release with the same packages and another source."""
    product.commit(**{"more.py": "import six\n"})
    return run("release_build", **product.options(cache))


def test_packages_that_another_release_has_are_not_unpacked_again(product: Product, tmp_path: Path) -> None:
    first = Path(run("release_build", **product.options(tmp_path / "cache"))["archive"]).parent
    second = changed(product, tmp_path / "cache")
    there = Path(second["archive"]).parent / "site-packages" / "six.py"
    assert there.stat().st_ino == (first / "site-packages" / "six.py").stat().st_ino
    assert {"site-packages/six.py", "source/more.py"} < members(second["archive"]).keys()


def test_packages_that_are_not_as_they_came_are_unpacked_again(product: Product, tmp_path: Path) -> None:
    first = Path(run("release_build", **product.options(tmp_path / "cache"))["archive"]).parent
    module = first / "site-packages" / "six.py"
    module.write_text(module.read_text() + "\nraise SystemExit\n")
    with tarfile.open(changed(product, tmp_path / "cache")["archive"]) as tar:
        inside = tar.extractfile("site-packages/six.py")
        assert inside
        assert b"SystemExit" not in inside.read()


def test_packages_of_another_lock_file_are_unpacked(product: Product, tmp_path: Path) -> None:
    first = Path(run("release_build", **product.options(tmp_path / "cache"))["archive"]).parent
    product.commit(**{"requirements.lock": FILES["requirements.lock"] + "\n"})
    second = Path(run("release_build", **product.options(tmp_path / "cache"))["archive"]).parent
    inode = (second / "site-packages" / "six.py").stat().st_ino
    assert inode != (first / "site-packages" / "six.py").stat().st_ino
