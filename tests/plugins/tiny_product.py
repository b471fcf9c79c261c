"""A product so small that a release of it is built in a second: one module, one migration, one package of PyPI's."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIX = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
FILES = {
    "requirements.lock": f"six==1.17.0 --hash=sha256:{SIX}\n",
    "shop.py": "import six\n",
    "alembic.ini": "[alembic]\nscript_location = alembic\n",
    "alembic/env.py": "",
    "alembic/versions/a1_first.py": 'revision = "a1"\ndown_revision = None\n\ndef upgrade(): pass\n',
}


@dataclass
class Product:
    """A git repository with the product in its folder `backend`."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> Product:
        """Make the repository with its first commit."""
        path.mkdir()
        product = cls(path)
        product.git("init", "--quiet", "--initial-branch=main")
        product.commit(**FILES)
        return product

    def git(self, *arguments: str) -> str:
        """Run git as somebody without settings of their own, and return what it prints."""
        author = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
        }
        environment = os.environ | author | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", "-C", self.path, *arguments], check=True, capture_output=True, text=True, env=environment
        )
        return done.stdout.strip()

    def commit(self, folder: str = "backend", message: str = "One more", **files: str) -> str:
        """Write files into the folder, commit, and return the commit's name."""
        for name, content in files.items():
            file = self.path / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.git("rev-parse", "HEAD")

    def options(self, cache: Path, **more: Any) -> dict[str, Any]:
        """Return the options of release_build for this product."""
        found = {"repository": str(self.path), "ref": "main", "folder": "backend", "cache": str(cache)}
        return found | more
