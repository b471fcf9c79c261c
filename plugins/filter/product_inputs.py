"""Filters that say whether what an inventory says of its product can work, before anything is touched.

Each returns what is wrong, a clause each that names the value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Debian Policy, 5.6.7.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
# A program of the release's virtual environment, then its arguments.
PROGRAM = re.compile(r"[A-Za-z0-9][\w.+-]*(?:[ \t].*)?")
# No quote, variable or specifier of systemd's, and nothing that a sandbox hides.
SIMPLE_PATH = re.compile(r"[\w./+-]+", re.ASCII)
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev")  # noqa: S108 - named, never written to
OTHERS = ("/bin", "/boot", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
# Directories of many.
SHARED = (
    "/srv",
    "/mnt",
    "/media",
    "/opt",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/www",
)


def environment_problems(environment: Mapping[str, Any], reserved: Iterable[str]) -> list[str]:
    """Return what is wrong with the names of a service's environment variables; values are not named."""
    taken = set(reserved)
    problems = [
        f'name "{name}" must be of letters, digits and _, and begin with no digit'
        for name in map(str, environment)
        if not VARIABLE.fullmatch(name)
    ]
    return problems + [
        f'name "{name}" is one that the bundle itself gives the service ({", ".join(sorted(taken))})'
        for name in environment
        if name in taken
    ]


def package_problems(packages: Iterable[str]) -> list[str]:
    """Return what is wrong with names of Debian packages."""
    return [
        f'"{name}" must be the name of a Debian package, of lower-case letters, digits and + - .'
        for name in map(str, packages)
        if not PACKAGE.fullmatch(name)
    ]


def command_problems(command: str) -> list[str]:
    """Return what is wrong with a command that a release runs; an empty one is none."""
    if not command or PROGRAM.fullmatch(command):
        return []
    return [
        f'"{command}" must be one line, and begin with the name of a program of the release, such as uvicorn or '
        "python, not with its path, nor with a shell's words"
    ]


def path_problems(path: str) -> list[str]:
    """Return what is wrong with a path that the service is asked at."""
    if re.fullmatch(r"/[!-~]*", path):
        return []
    return [f'"{path}" must begin with / and hold no space, such as /health']


def writable_path_problems(paths: Iterable[str], root: str) -> list[str]:
    """Return what is wrong with paths that the service may write; `root` is the product's directory."""
    return [problem for path in map(str, paths) if (problem := _writable_path_problem(path, root))]


def _writable_path_problem(path: str, root: str) -> str | None:
    parts = PurePosixPath(path).parts
    if not SIMPLE_PATH.fullmatch(path) or ".." in parts or parts in ((), (".",)):
        return f'"{path}" must be of letters, digits and . _ + - /, without ..'
    if not path.startswith("/"):
        return None
    within = [each for each in (*HIDDEN, *OTHERS) if PurePosixPath(path).is_relative_to(each)]
    if within:
        return f'"{path}" is below {within[0]}, which is not the product\'s: take one below /srv or /var/lib'
    if str(PurePosixPath(path)) in ("/", *SHARED):
        return f'"{path}" would belong to the product whole: take a directory of its own below it'
    own = PurePosixPath(root)
    taken = [own, *(own / name for name in ("releases", "archives", "shared", "current", "blue", "green"))]
    if PurePosixPath(path) in taken or any(PurePosixPath(path).is_relative_to(each) for each in taken[1:]):
        return f'"{path}" is where releases are: take {root}/uploads, or a relative path, kept below {root}/shared'
    return None


class FilterModule:
    """Ansible's way in."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "command_problems": command_problems,
            "environment_problems": environment_problems,
            "package_problems": package_problems,
            "path_problems": path_problems,
            "writable_path_problems": writable_path_problems,
        }
