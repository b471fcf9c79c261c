"""What a release is made of: the application's folder at a commit, its lock file, and the recipe that builds it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Part of every identity: a change in how releases are built makes new ones of the same code.
RECIPE = "2"


class ReleaseError(Exception):
    """The release cannot be made; the message says what to correct."""


@dataclass(frozen=True)
class Source:
    """An application's folder at one commit of a repository.

    `tree` and `lock` are git's object names of the folder and of the lock file in it.
    """

    repository: Path
    commit: str
    folder: str
    tree: str
    lock: str

    def identity(self, *, python: str, architecture: str, project: bool = False) -> str:
        """Return the release's name: 12 hexadecimal digits of a SHA-256.

        The same code, lock file, Python and recipe give the same name, whatever commit carries them and whenever it
        is built. `python` is a version such as "3.11"; with `project` the folder is installed as a package, too.
        """
        parts = [RECIPE, self.tree, self.lock, python, architecture, *(["project"] * project)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def unpack(self, directory: Path) -> None:
        """Write the folder's files, as they are in the commit, into an empty directory."""
        archive = subprocess.run(
            [*git(self.repository), "archive", "--format=tar", self.tree], check=False, capture_output=True
        )
        if archive.returncode:
            raise ReleaseError(
                f"git archive of {self.tree} in {self.repository} failed: {archive.stderr.decode()}"
            )
        subprocess.run(
            ["tar", "--extract", "--no-same-owner", f"--directory={directory}"],
            check=True,
            input=archive.stdout,
        )


def git(repository: Path) -> list[str]:
    """Return the start of a git command for the repository, whoever owns its files."""
    return ["git", "-c", "safe.directory=*", "-C", str(repository)]


def ask_git(repository: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where it refuses."""
    done = subprocess.run([*git(repository), *arguments], check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def is_remote(repository: str) -> bool:
    """Return whether the repository is reached over a network, by URL or in the host:path form."""
    return "://" in repository or (":" in repository and not repository.startswith(("/", ".")))


def local_copy(repository: str, cache: Path) -> Path:
    """Return a local repository that has what `repository` has: itself, or a mirror that is brought up to date."""
    if not is_remote(repository):
        path = Path(repository).expanduser().resolve()
        if ask_git(path, "rev-parse", "--git-dir") is None:
            raise ReleaseError(
                f'release_repository "{repository}" is not a git repository. Give a path or a URL of one.'
            )
        return path
    mirror = cache / "mirrors" / hashlib.sha256(repository.encode()).hexdigest()[:12]
    mirror.parent.mkdir(parents=True, exist_ok=True)
    # A clone that is killed, or made twice at once, leaves nothing that would pass for the mirror.
    with tempfile.TemporaryDirectory(dir=mirror.parent, prefix=".cloning-") as work:
        if mirror.exists():
            command = ["git", "-C", str(mirror), "fetch", "--quiet", "--prune", "--tags", "origin"]
        else:
            command = ["git", "clone", "--quiet", "--mirror", repository, f"{work}/mirror"]
        # Without the question for a password, which nobody would see.
        environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if done.returncode:
            said = without_password(done.stderr.strip())
            raise ReleaseError(f'release_repository "{without_password(repository)}" cannot be read: {said}')
        if not mirror.exists():
            with suppress(OSError):  # another run was first
                Path(work, "mirror").rename(mirror)
    return mirror


def without_password(text: str) -> str:
    """Return the text with the passwords of its URLs left out."""
    return re.sub(r"(://[^/@:\s]*):[^/@\s]*@", r"\1:***@", text)


def find_source(repository: str, ref: str, folder: str, lock_file: str, *, cache: Path) -> Source:
    """Return the source at `ref`, or raise ReleaseError with the value that is wrong and what there is instead."""
    local = local_copy(repository, cache)
    commit = ask_git(local, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if commit is None:
        tags = ask_git(
            local,
            "for-each-ref",
            "--sort=-creatordate",
            "--count=5",
            "--format=%(refname:short)",
            "refs/tags",
        )
        newest = ", ".join((tags or "").split()) or "there are none"
        raise ReleaseError(
            f'release_ref "{ref}" is not in {without_password(repository)}; newest tags: {newest}. '
            "Give a tag, a branch or a commit of it."
        )
    inside = folder.strip("/")
    tree = ask_git(local, "rev-parse", "--verify", "--quiet", f"{commit}:{inside}")
    if tree is None or ask_git(local, "cat-file", "-t", tree) != "tree":
        raise ReleaseError(
            f'release_folder "{folder}" is not a folder of {without_password(repository)} at {ref}. '
            "Give the path, inside the repository, of the application's folder; the root is an empty string."
        )
    lock = ask_git(local, "rev-parse", "--verify", "--quiet", f"{tree}:{lock_file}")
    if lock is None:
        raise ReleaseError(
            f'release_lock_file "{lock_file}" is not in {folder} at {ref}. Commit one with hashes: '
            "uv pip compile --generate-hashes -o requirements.lock pyproject.toml"
        )
    return Source(repository=local, commit=commit, folder=inside, tree=tree, lock=lock)
