"""Every role's README says what its spec and defaults say, because scripts/docs makes it from them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def docs(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "docs"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository with the template and one role."""
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    options = {
        "shop_port": {"type": "int", "default": 80, "description": "TCP port of the shop."},
        "shop_mode": {"type": "str", "default": "a", "choices": ["a", "b|c"], "description": ["A.", "B."]},
        "shop_password": {"type": "str", "required": True, "no_log": True, "description": "Secret of it."},
        "shop_users": {
            "type": "list", "elements": "dict", "default": [], "description": "People.",
            "options": {"name": {"type": "str", "required": True, "description": "Name."}},
        },
    }  # fmt: skip
    specs = {
        "sell": {"short_description": "Sell one thing", "options": {}},
        "main": {"short_description": "A shop.", "description": ["It sells."], "options": options},
    }
    write(tmp_path / "roles/shop/meta/argument_specs.yml", {"argument_specs": specs})
    write(tmp_path / "roles/shop/defaults/main.yml", {"shop_port": 80, "shop_mode": "a", "shop_users": []})
    return tmp_path


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def check() -> str:
    return docs("--check").stderr


@pytest.mark.parametrize("role", ROLES)
def test_readme_is_what_scripts_docs_makes(role: str, check: str) -> None:
    assert [line for line in check.splitlines() if f"roles/{role}/" in line] == []


def test_readme_has_a_row_for_each_variable(copy: Path) -> None:
    assert docs("--root", str(copy)).returncode == 0
    lines = (copy / "roles/shop/README.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("| `")] == [
        "| `shop_mode` | str | `a` | A. B. One of `a`, `b\\|c`. |",
        "| `shop_password` | str, **secret** | required | Secret of it. |",
        "| `shop_port` | int | `80` | TCP port of the shop. |",
        "| `shop_users` | list of dict | `[]` | People. |",
        "| `shop_users[].name` | str | required | Name. |",
    ]
    assert lines[1:5] == ["# Role shop", "", "A shop.", ""]
    assert "## Entry point `sell`" in lines


def test_check_is_silent_when_nothing_is_stale(copy: Path) -> None:
    docs("--root", str(copy))
    done = docs("--root", str(copy), "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_check_names_a_stale_readme_and_leaves_it(copy: Path) -> None:
    docs("--root", str(copy))
    before = (copy / "roles/shop/README.md").read_text()
    write(copy / "roles/shop/defaults/main.yml", {"shop_port": 81, "shop_mode": "a", "shop_users": []})
    done = docs("--root", str(copy), "--check")
    assert done.returncode == 1
    assert "roles/shop/README.md is stale" in done.stderr
    assert (copy / "roles/shop/README.md").read_text() == before


def test_second_run_writes_nothing(copy: Path) -> None:
    assert docs("--root", str(copy)).stdout == "wrote roles/shop/README.md\n"
    assert docs("--root", str(copy)).stdout == ""


def test_role_without_a_spec_is_an_error_that_names_the_file(copy: Path) -> None:
    (copy / "roles/shop/meta/argument_specs.yml").unlink()
    done = docs("--root", str(copy))
    assert done.returncode == 1
    assert "argument_specs.yml is missing" in done.stderr
