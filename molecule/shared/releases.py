"""Releases to deploy in a test: an application of this repository, changed, in a repository of its own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shared.landscape import ROOT

MIGRATION = '''"""{message}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{after}"
branch_labels = depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''


@dataclass(frozen=True)
class Change:
    """A migration: its revision, and what it does as Python, a statement a line."""

    revision: str
    up: str
    down: str = "pass"


class Newer(Protocol):
    """Makes a release on top of the one that serves, with migrations one after the other and other files."""

    def __call__(self, name: str, *changes: Change, files: dict[str, str] | None = None) -> dict[str, Any]:
        """The variables that name it."""


class Releases:
    """A git repository with an application's folder at HEAD; each release is a tag, built on the one before."""

    def __init__(self, directory: Path, folder: str = "backend") -> None:
        self.directory = directory
        self.folder = folder
        directory.mkdir(parents=True)
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", "HEAD", folder],
            check=True,
            capture_output=True,
            timeout=60,
        )
        subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True, timeout=60)
        self._git("init", "--quiet")
        self.tag("base")

    def tag(self, name: str, files: dict[str, str] | None = None, *, after: str = "") -> dict[str, Any]:
        """Commit the files (below the application's folder) as a release and return the variables that name it.

        `after` is the release that it builds on, the newest one if it is empty.
        """
        if after:
            self._git("checkout", "--quiet", "--detach", after)
        for path, content in (files or {}).items():
            file = self.directory / self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", name)
        self._git("tag", "--force", name)
        return self.named(name)

    def has(self, name: str) -> bool:
        """Whether there is a release of this name."""
        done = subprocess.run(
            ["git", "-C", str(self.directory), "rev-parse", "--quiet", "--verify", f"refs/tags/{name}"],
            check=False,
            capture_output=True,
            timeout=60,
        )
        return done.returncode == 0

    def tree(self, name: str) -> str:
        """The content of a release, as git names it; it is in the release's manifest."""
        return self._git("rev-parse", f"{name}:backend")

    def named(self, name: str) -> dict[str, Any]:
        """The variables that name a release of this repository."""
        return {"release_repository": str(self.directory), "release_ref": name}

    def read(self, path: str, of: str = "HEAD") -> str:
        """A file of a release, the newest one unless another is named."""
        return self._git("show", f"{of}:{self.folder}/{path}") + "\n"

    def _git(self, *words: str) -> str:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        command = ["git", "-C", str(self.directory), *who, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()


def migration(
    revision: str,
    after: str,
    up: str,
    down: str = "pass",
    message: str = "A change",
    folder: str = "alembic/versions",
) -> dict[str, str]:
    """A migration as a file in the folder of migrations; bodies are Python, a statement a line."""
    text = MIGRATION.format(
        message=message,
        revision=revision,
        after=after,
        up=up.replace("\n", "\n    "),
        down=down.replace("\n", "\n    "),
    )
    return {f"{folder}/{revision}_test.py": text}
