"""Whether a release ref exists in a repository, with the application's folder and lock file in it.

Asked with git on the controller, of a path or a URL; nothing is checked out, no code of the repository runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils import lock_file, pooled_driver
from ansible.module_utils.preflight_problem import Problem, show
from ansible.module_utils.release_source import Source

SECONDS = 60
"""Longest time for one git command that asks a network, in seconds."""
_NEWEST = 3


@dataclass(frozen=True)
class Release:
    """A ref (tag, branch, commit) of `repository` (path or URL).

    `lock` and `alembic` are files below `folder`, all optional. `project` says that there is a pyproject.toml to
    install.
    `scheme` is that of the URL with which the service connects, where a pool by transaction is in between.
    """

    repository: str
    ref: str
    folder: str = ""
    lock: str = ""
    role: str = "release"
    alembic: str = ""
    project: bool = False
    scheme: str = ""

    def variable(self, name: str) -> str:
        """The variable that a problem names, for example release_ref."""
        return f"{self.role}_{name}"


@dataclass(frozen=True)
class _Git:
    """git in one repository, without questions on the terminal."""

    folder: str

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=10"),
            "LC_ALL": "C",
        }
        # Only objects are read here, so a checkout that another user owns (sudo scripts/try) is no danger.
        command = ["git", "-c", "safe.directory=*", "-C", self.folder, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False
        )


def is_url(repository: str) -> bool:
    """Whether git reaches the repository by URL (or user@host:path), not as a path."""
    return "://" in repository or re.match(r"^[\w.-]+@[\w.-]+:", repository) is not None


Found = tuple[list[Problem], Source | None]
"""What is wrong with a release, and what it is made of where nothing is."""


def check_release(release: Release, base: str = ".") -> Found:
    """What is wrong with the release, at most the first thing that makes the others unknowable; and its source.

    `base` is the folder from which a relative repository path counts.
    """
    try:
        if is_url(release.repository):
            with tempfile.TemporaryDirectory(prefix="release-") as folder:
                return _check_url(release, _Git(folder))
        return _check_path(release, str(Path(base, Path(release.repository).expanduser())))
    except FileNotFoundError:
        return _refused(
            _problem(
                release,
                "repository",
                release.repository,
                "git is not installed on the controller.",
                "Install it: apt-get install git.",
            )
        )
    except subprocess.TimeoutExpired:
        return _refused(_unreadable(release, f"it did not answer within {SECONDS} seconds"))


def _check_path(release: Release, folder: str) -> Found:
    if not Path(folder).is_dir():
        return _refused(_unreadable(release, f"{folder} is not a folder"))
    git = _Git(folder)
    if (seen := git("rev-parse", "--git-dir")).returncode != 0:
        return _refused(_unreadable(release, seen.stderr))
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", release.ref + "^{commit}")
    if found.returncode != 0:
        tags = git(
            "for-each-ref",
            "--sort=-creatordate",
            f"--count={_NEWEST}",
            "--format=%(refname:short)",
            "refs/tags",
        )
        return _refused(_unknown(release, tags.stdout.split()))
    return _check_files(release, git, found.stdout.strip())


def _check_url(release: Release, git: _Git) -> Found:
    git("init", "--quiet", "--bare")
    listed = git("ls-remote", "--refs", "--tags", "--sort=-version:refname", "--", release.repository)
    if listed.returncode != 0:
        return _refused(_unreadable(release, listed.stderr))
    tags = [line.split("refs/tags/", 1)[1] for line in listed.stdout.splitlines() if "refs/tags/" in line]
    # A name that starts with a dash would be taken for an option; git allows no such ref.
    if release.ref.startswith("-"):
        return _refused(_unknown(release, tags[:_NEWEST]))
    fetched = git("fetch", "--quiet", "--depth=1", "--no-tags", "--", release.repository, release.ref)
    if fetched.returncode != 0:
        return _refused(_unknown(release, tags[:_NEWEST]))
    return _check_files(release, git, "FETCH_HEAD")


def _check_files(release: Release, git: _Git, commit: str) -> Found:
    folder = release.folder.strip("/")
    if folder and git("cat-file", "-t", f"{commit}:{folder}").stdout.strip() != "tree":
        names = git("ls-tree", "-d", "--name-only", commit).stdout.split()
        known = f"; folders there: {', '.join(names)}" if names else ""
        return _refused(
            _problem(
                release,
                "folder",
                release.folder,
                f"{release.ref} of {_named(release)} has no such folder{known}.",
                f"Set {release.variable('folder')} to the folder of the application.",
            )
        )
    lock = _below(folder, release.lock)
    problems = [*_missing_files(release, git, commit, folder)]
    if release.lock and not problems:
        problems = [*_lock_problems(release, git("cat-file", "blob", f"{commit}:{lock}").stdout)]
    if problems:
        return problems, None
    names_of = [
        git("rev-parse", name).stdout.strip() for name in (commit, f"{commit}:{folder}", f"{commit}:{lock}")
    ]
    return [], Source(Path(git.folder), names_of[0], folder, tree=names_of[1], lock=names_of[2])


def _below(folder: str, file: str) -> str:
    return "/".join(part for part in (folder, file.strip("/")) if part)


def _missing_files(release: Release, git: _Git, commit: str, folder: str) -> Iterator[Problem]:
    needed = [
        (
            "lock_file",
            release.lock,
            release.lock,
            "Commit the lock file of the application's packages, or name the one that is there.",
        ),
        (
            "alembic_config",
            release.alembic,
            release.alembic,
            "Set bundle_alembic_config to the file that is there.",
        ),
        (
            "project",
            "pyproject.toml" if release.project else "",
            "true",
            f"Commit one, or leave {release.variable('project')} out: then only what the lock file names is installed.",
        ),
    ]
    for name, file, value, fix in needed:
        path = _below(folder, file)
        if file and git("cat-file", "-t", f"{commit}:{path}").stdout.strip() != "blob":
            yield _problem(
                release, name, value, f"{release.ref} of {_named(release)} has no file {path}.", fix
            )


def _lock_problems(release: Release, text: str) -> Iterator[Problem]:
    if found := lock_file.problem_of(release.lock, text):
        yield _problem(release, "lock_file", release.lock, f"{found[0]}.", f"{found[1]}.")
        return
    packages = pooled_driver.packages_of(text)
    driver = pooled_driver.breaking_driver(release.scheme, packages) if release.scheme else None
    if driver:
        named = pooled_driver.driver_of(release.scheme)
        why = "which names it" if named else f"which names no driver, and {release.lock} has it"
        yield _problem(
            release,
            "prepared_statements_acknowledged",
            "false",
            f"{driver} is the driver of {release.scheme}://, {why}. By default it prepares statements, and behind a "
            "pool by transaction these fail: other sessions do not know them.",
            f"{pooled_driver.what_to_set({driver})} Once the product does, set "
            f"{release.variable('prepared_statements_acknowledged')}: true; the release is tried against the pool "
            "before it gets requests.",
        )


def _refused(problem: Problem) -> Found:
    return [problem], None


def _unknown(release: Release, tags: list[str]) -> Problem:
    newest = f"newest tags: {', '.join(tags)}" if tags else "it has no tags"
    return _problem(
        release,
        "ref",
        release.ref,
        f"not in {_named(release)}; {newest}.",
        f"Set {release.variable('ref')} to a tag, branch or commit that is there, or push it.",
    )


def _unreadable(release: Release, reason: str) -> Problem:
    reason = " ".join(reason.split()).rstrip(".")
    return _problem(
        release,
        "repository",
        release.repository,
        f"cannot be read: {reason}.",
        "Correct the path or URL, or give the controller access to it.",
    )


def _named(release: Release) -> str:
    return str(show(release.repository)).strip('"')


def _problem(release: Release, name: str, value: str, allowed: str, fix: str) -> Problem:
    return Problem(release.role, release.variable(name), show(value), allowed, fix)
