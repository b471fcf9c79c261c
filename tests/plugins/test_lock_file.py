"""What a lock file has to be, and what to do with one that is something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.lock_file import problem_of

ROOT = Path(__file__).resolve().parents[2]
LOCKED = """# made by uv
--index-url https://pypi.org/simple
six==1.17.0 \\
    --hash=sha256:47 \\
    --hash=sha256:ff
"""


@pytest.mark.parametrize(
    "path", ["backend/requirements.lock", "molecule/product/shop/requirements/production.txt"]
)
def test_lock_files_of_both_products_are_good(path: str) -> None:
    assert problem_of(path, (ROOT / path).read_text()) is None


@pytest.mark.parametrize(
    "more", ["", "\n# a comment\n", "mine @ https://git.example/mine.whl --hash=sha256:0a\n"]
)
def test_versions_with_hashes_are_good_under_any_name(more: str) -> None:
    assert problem_of("requirements/production.txt", LOCKED + more) is None


@pytest.mark.parametrize(
    "line",
    ["fastapi", "fastapi>=0.1 --hash=sha256:47", "fastapi==0.1", "mine @ https://git.example/mine.whl"],
)
def test_requirement_that_is_not_locked_is_named(line: str) -> None:
    found = problem_of("requirements.txt", f"{LOCKED}{line}  # the framework\n")
    assert found
    assert f'"{line}" in it' in found[0]
    assert "uv pip compile --generate-hashes" in found[1]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pyproject.toml", "uv pip compile"),
        ("uv.lock", "uv export --frozen"),
        ("poetry.lock", "poetry export"),
        ("pdm.lock", "pdm export"),
        ("app/Pipfile.lock", "pipenv requirements --hash"),
    ],
)
def test_file_of_another_tool_is_answered_with_the_command_that_converts_it(name: str, command: str) -> None:
    found = problem_of(name, "whatever")
    assert found
    assert command in found[1]
