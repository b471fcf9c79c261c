"""requirements.yml pins what is used, in the versions that the lock file's `ansible` brings."""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from role_files import ROOT

PINNED = {
    entry["name"]: str(entry["version"])
    for entry in yaml.safe_load(Path(ROOT, "requirements.yml").read_text())["collections"]
}
USED = re.compile(r"\b((?:community|ansible)\.(?!builtin|cfg|module_utils|legacy)[a-z]+)\.[a-z_]+")


def used_collections() -> set[str]:
    """The collections whose names stand in what Ansible reads."""
    files = [
        Path(ROOT, "ansible.cfg"),
        *(
            path
            for folder in ("roles", "playbooks", "inventories")
            for path in Path(ROOT, folder).rglob("*.yml")
        ),
    ]
    return {name for path in files for name in USED.findall(path.read_text(encoding="utf-8"))}


def test_every_collection_in_use_is_pinned_and_no_other() -> None:
    assert used_collections() == set(PINNED)


@pytest.mark.parametrize("name", sorted(PINNED))
def test_pinned_version_is_the_one_of_the_lock_file(name: str) -> None:
    # Not by import: Ansible's own loader of collections, once it is in, looks elsewhere.
    folder = Path(str(distribution("ansible").locate_file("ansible_collections")), *name.split("."))
    assert json.loads((folder / "MANIFEST.json").read_text())["collection_info"]["version"] == PINNED[name]
