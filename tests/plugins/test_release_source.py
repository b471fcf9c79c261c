"""A release's name is its content; what does not exist is named, with what there is instead."""

from __future__ import annotations

import string
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.release_source import (
    ReleaseError,
    Source,
    find_source,
    is_remote,
    without_password,
)
from hypothesis import given
from hypothesis import strategies as st
from tiny_product import FILES, Product

NAMES = st.text(string.hexdigits.lower(), min_size=1)
SOURCES = st.builds(Source, st.just(Path("/r")), NAMES, NAMES, NAMES, NAMES)


@pytest.fixture
def product(tmp_path: Path) -> Product:
    return Product.make(tmp_path / "product")


def find(
    product: Product, ref: str = "HEAD", folder: str = "backend", lock: str = "requirements.lock"
) -> Source:
    return find_source(str(product.path), ref, folder, lock, cache=product.path.parent / "cache")


def identity(product: Product, ref: str = "HEAD", folder: str = "backend") -> str:
    found: str = find(product, ref, folder).identity(python="3.11", architecture="x86_64")
    return found


def test_commit_that_only_touched_the_inventory_is_the_same_release(product: Product) -> None:
    before = identity(product)
    product.commit(folder="inventories", **{"bundle.yml": "a: 1\n"})
    assert identity(product) == before


def test_change_that_is_taken_back_is_the_same_release_again(product: Product) -> None:
    before = identity(product)
    product.commit(**{"shop.py": "import six, sys\n"})
    changed = identity(product)
    product.commit(**FILES)
    assert identity(product) == before != changed


def test_same_code_on_another_branch_and_in_another_repository_is_the_same_release(
    product: Product, tmp_path: Path
) -> None:
    product.git("switch", "--quiet", "--orphan", "other")
    product.commit(message="Another history", **FILES)
    other = Product.make(tmp_path / "other")
    assert identity(product, "main") == identity(product, "other") == identity(other)


def test_same_code_in_another_folder_is_the_same_release(product: Product) -> None:
    before = identity(product)
    product.commit(folder="service", **FILES)
    assert identity(product, folder="service") == before


@pytest.mark.parametrize(
    "change",
    [
        {"shop.py": "import six  # changed\n"},
        {"requirements.lock": FILES["requirements.lock"] + "# changed\n"},
        {"new.py": ""},
        {"alembic/versions/b2.py": 'revision = "b2"\ndown_revision = "a1"\n'},
    ],
)
def test_other_code_is_another_release(product: Product, change: dict[str, str]) -> None:
    before = identity(product)
    product.commit(**change)
    assert identity(product) != before


def test_program_that_became_executable_is_another_release(product: Product) -> None:
    before = identity(product)
    (product.path / "backend/shop.py").chmod(0o755)
    product.commit()
    assert identity(product) != before


@given(SOURCES, NAMES, NAMES)
def test_name_does_not_depend_on_the_commit_or_the_place(source: Source, commit: str, folder: str) -> None:
    moved = replace(source, repository=Path("/elsewhere"), commit=commit, folder=folder)
    assert source.identity(python="3.11", architecture="x86_64") == moved.identity(
        python="3.11", architecture="x86_64"
    )


@given(SOURCES, SOURCES, st.sampled_from(["3.11", "3.12"]), st.sampled_from(["x86_64", "aarch64"]))
def test_every_ingredient_makes_another_name(one: Source, other: Source, python: str, machine: str) -> None:
    same = (one.tree, one.lock, "3.11", "x86_64") == (other.tree, other.lock, python, machine)
    names = (
        one.identity(python="3.11", architecture="x86_64"),
        other.identity(python=python, architecture=machine),
    )
    assert (names[0] == names[1]) == same
    assert all(len(name) == 12 and set(name) <= set(string.hexdigits.lower()) for name in names)


def test_tag_branch_and_commit_name_the_same_source(product: Product) -> None:
    product.git("tag", "--annotate", "--message=First", "v1")
    commit = product.git("rev-parse", "HEAD")
    assert find(product, "v1") == find(product, "main") == find(product, commit) == find(product, commit[:8])


def test_what_is_not_committed_is_not_in_the_release(product: Product, tmp_path: Path) -> None:
    (product.path / "backend/shop.py").write_text("raise SystemExit\n")
    (product.path / "backend/stray.py").touch()
    directory = tmp_path / "unpacked"
    directory.mkdir()
    find(product).unpack(directory)
    found = {
        str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()
    }
    assert found == FILES


def test_root_of_a_repository_may_be_the_application(product: Product) -> None:
    product.git("mv", *(f"backend/{name.split('/')[0]}" for name in FILES if "versions" not in name), ".")
    product.commit()
    assert find(product, folder="").tree == product.git("rev-parse", "HEAD^{tree}")
    assert find(product, folder="/").tree == find(product, folder="").tree


@pytest.mark.parametrize("ref", ["v9", "", "--all", "v1 v2", "HEAD:backend", "0" * 40])
def test_unknown_ref_is_named_with_the_newest_tags(product: Product, ref: str) -> None:
    for number in range(7):
        product.git("tag", f"v0.{number}")
    with pytest.raises(ReleaseError) as raised:
        find(product, ref)
    assert f'release_ref "{ref}" is not in {product.path}; newest tags: v0.' in str(raised.value)
    assert str(raised.value).count("v0.") == 5


def test_unknown_ref_of_a_repository_without_tags_says_so(product: Product) -> None:
    with pytest.raises(ReleaseError, match="newest tags: there are none"):
        find(product, "v9")


@pytest.mark.parametrize("folder", ["frontend", "backend/shop.py", "../product/backend", "-x"])
def test_folder_that_is_none_is_named(product: Product, folder: str) -> None:
    with pytest.raises(ReleaseError) as raised:
        find(product, folder=folder)
    assert f'release_folder "{folder}" is not a folder of {product.path} at HEAD' in str(raised.value)


def test_missing_lock_file_is_named_with_how_to_make_one(product: Product) -> None:
    with pytest.raises(ReleaseError, match=r'"poetry.lock" is not in backend at HEAD.*uv pip compile'):
        find(product, lock="poetry.lock")


def test_directory_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=f'"{tmp_path}" is not a git repository'):
        find_source(str(tmp_path), "v1", "", "requirements.lock", cache=tmp_path)


@pytest.mark.parametrize(
    ("repository", "remote"),
    [
        ("https://example.org/shop.git", True),
        ("git@example.org:shop.git", True),
        ("file:///srv/shop", True),
        ("/srv/shop", False),
        ("../shop", False),
        ("./a:b", False),
        ("shop", False),
    ],
)
def test_what_is_reached_over_a_network_is_told_from_a_path(repository: str, remote: bool) -> None:
    assert is_remote(repository) == remote


def test_repository_behind_a_url_is_mirrored_and_brought_up_to_date(product: Product, tmp_path: Path) -> None:
    url = f"file://{product.path}"
    before = find_source(url, "main", "backend", "requirements.lock", cache=tmp_path / "cache")
    commit = product.commit(**{"shop.py": "changed = True\n"})
    after = find_source(url, "main", "backend", "requirements.lock", cache=tmp_path / "cache")
    assert before.repository == after.repository != product.path
    assert after.commit == commit != before.commit
    assert [path.name for path in (tmp_path / "cache/mirrors").iterdir()] == [after.repository.name]


def test_url_that_cannot_be_read_leaves_nothing_and_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"https://ada:Tz9d@127.0.0.1:1/{tmp_path.name}.git"
    with pytest.raises(ReleaseError) as raised:
        find_source(url, "main", "", "requirements.lock", cache=tmp_path)
    assert "https://ada:***@127.0.0.1:1/" in str(raised.value)
    assert "Tz9d" not in str(raised.value)
    assert list((tmp_path / "mirrors").iterdir()) == []


@pytest.mark.parametrize("text", ["git@example.org:shop.git", "https://example.org:8443/a@b", "/srv/a:b@c"])
def test_text_without_a_password_is_left_alone(text: str) -> None:
    assert without_password(text) == text


def test_repository_of_another_user_is_read(product: Product) -> None:
    subprocess.run(["chown", "-R", "nobody", product.path], check=True)
    assert find(product).commit
