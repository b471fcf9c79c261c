#!/usr/bin/python
"""Ansible module: several configuration files in place, checked before the first of them is written."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Several files in place in one task, all of them checked before one is written
description:
  - Does for a list of files what a loop over the template module does, in one call instead of one for each file.
  - Every file that would change is written beside its place and checked; only when all are right do they take their
    places. So a program never finds half of a new configuration that is wrong.
  - Missing parent directories are made, owned by root. A link in a file's place gives way to the file; what it named
    stays as it is.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where the file belongs., type: path, required: true}
      content: {description: "What it says, most often C({{ lookup('template', …) }}).", type: str}
      secret_content: {description: The same with secrets; it is in no output and no diff., type: str}
      owner: {description: Its owner., type: str, default: root}
      group: {description: Its group., type: str, default: root}
      mode: {description: Its mode as four octal digits in quotes., type: str, default: "0644"}
      validate:
        description: Command that checks the file, with C(%s) for its path. It does not run in check mode.
        type: str
  only:
    description:
      - Patterns, with C(*) in the name, of files that belong to the caller. One that is there and not in O(files) is
        removed, after all others took their places. What such a file said is in no diff.
    type: list
    elements: path
    default: []
author: The bundle's maintainers
"""

import grp
import os
import pwd
import re
import shlex
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.quiet_module import QuietModule


class InvalidFileError(Exception):
    """A file cannot be as it is wanted; the message says which, why and what to do."""


@dataclass(frozen=True)
class Wanted:
    """One file as it should be. `validate` has %s where the path goes, or is empty."""

    path: Path
    content: str
    secret: bool
    owner: str
    group: str
    mode: int
    validate: str

    @classmethod
    def from_option(cls, option: dict[str, Any]) -> Wanted:
        """Read one entry of the option `files`."""
        secret = option["secret_content"] is not None
        # YAML reads a bare 0640 as the number 416, which would pass for a mode of its own.
        if not re.fullmatch("[0-7]{4}", option["mode"]):
            raise InvalidFileError(
                f'mode "{option["mode"]}" of {option["path"]} is not four octal digits. Write it in quotes, such as '
                '"0640".'
            )
        if Path(option["path"]).is_dir():
            raise InvalidFileError(f"{option['path']} is a directory, not a file. Correct the path.")
        return cls(
            path=Path(option["path"]),
            content=option["secret_content"] if secret else option["content"],
            secret=secret,
            owner=option["owner"],
            group=option["group"],
            mode=int(option["mode"], 8),
            validate=option["validate"] or "",
        )

    @property
    def beside(self) -> Path:
        """Where the new file waits until all are right. On the same file system, and read by no program's include."""
        return self.path.with_name(f".{self.path.name}.new")

    def before(self) -> str:
        """Return what the file says now."""
        return self.path.read_bytes().decode(errors="backslashreplace") if self.path.exists() else ""

    def rights_before(self) -> str:
        """Return the owner, group and mode that the file has now."""
        if not self.path.exists():
            return "absent"
        there = self.path.stat()
        names = f"{_name(pwd.getpwuid, there.st_uid)}:{_name(grp.getgrgid, there.st_gid)}"
        return f"{names} {stat.S_IMODE(there.st_mode):04o}"

    @property
    def rights(self) -> str:
        """Return the owner, group and mode that the file should have."""
        return f"{self.owner}:{self.group} {self.mode:04o}"

    def differs(self) -> bool:
        """Return whether content, owner or mode are not as wanted."""
        return self.rights_before() != self.rights or self.path.read_bytes() != self.content.encode()

    def write_beside(self) -> None:
        """Write the new file beside its place, with its owner and mode from the first byte on."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.beside.unlink(missing_ok=True)
        owner, group = self._owner_number(), self._group_number()
        descriptor = os.open(self.beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            # By descriptor: in a directory that another user owns, the name may be another file by now.
            os.fchown(file.fileno(), owner, group)
            os.fchmod(file.fileno(), self.mode)
            file.write(self.content.encode())
            file.flush()
            os.fsync(file.fileno())

    def _owner_number(self) -> int:
        try:
            return pwd.getpwnam(self.owner).pw_uid
        except KeyError:
            raise InvalidFileError(
                f'owner "{self.owner}" of {self.path} is no user of this host. Make it first.'
            ) from None

    def _group_number(self) -> int:
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            raise InvalidFileError(
                f'group "{self.group}" of {self.path} is no group of this host. Make it first.'
            ) from None

    def check(self, path: Path) -> None:
        """Run the file's own check on it and raise InvalidFileError with what it said."""
        command = [word.replace("%s", str(path)) for word in shlex.split(self.validate)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).replace(str(path), str(self.path)).strip()
            if self.secret:
                said = "(left out, since it may quote a secret)"
            raise InvalidFileError(
                f"{self.path} would not be valid. Correct the inventory. {command[0]} says:\n{said}"
            )

    def diff(self) -> dict[str, str]:
        """Return Ansible's form of the difference."""
        if self.before() == self.content:
            texts = {"before": f"{self.rights_before()}\n", "after": f"{self.rights}\n"}
        elif self.secret:
            texts = {"before": "(secret)\n", "after": "(another secret)\n"}
        else:
            texts = {"before": self.before(), "after": self.content}
        return {"before_header": str(self.path), "after_header": str(self.path), **texts}


def _name(look_up: Any, number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def gone(path: Path) -> dict[str, str]:
    """Return Ansible's form of a removal."""
    return {"before_header": str(path), "after_header": str(path), "before": "present\n", "after": "absent\n"}


def put_in_place(files: list[Wanted]) -> None:
    """Write and check all files beside their places, then rename them there."""
    try:
        for file in files:
            file.write_beside()
        for file in files:
            if file.validate:
                file.check(file.beside)
        for file in files:
            file.beside.rename(file.path)
    finally:
        clear_leftovers(files)


def clear_leftovers(files: list[Wanted]) -> None:
    """Remove what waits beside the files: what was refused now, or what a killed run left."""
    for file in files:
        file.beside.unlink(missing_ok=True)


def superfluous(patterns: list[str], files: list[Wanted]) -> list[Path]:
    """Return the files that match a pattern and are not wanted, or raise InvalidFileError."""
    found: set[Path] = set()
    for pattern in map(Path, patterns):
        # A pattern that is wrong must not empty a directory of somebody else.
        if not re.match(r"[^*?\[]+\*", pattern.name) or re.search(r"[*?\[]", str(pattern.parent)):
            raise InvalidFileError(
                f"{pattern} in `only` must begin with a name of yours and have a * after it."
            )
        found.update(path for path in pattern.parent.glob(pattern.name) if not path.is_dir())
    return sorted(found - {file.path for file in files})


def read_options(options: list[dict[str, Any]]) -> list[Wanted]:
    """Return the wanted files, or raise InvalidFileError."""
    files = [Wanted.from_option(option) for option in options]
    paths = [file.path for file in files]
    for path in paths:
        if paths.count(path) > 1:
            raise InvalidFileError(f"{path} is in the list more than once. Say once what it is.")
    return files


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "secret_content": {"type": "str", "no_log": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0644"},
                    "validate": {"type": "str"},
                },
                "required_one_of": [("content", "secret_content")],
                "mutually_exclusive": [("content", "secret_content")],
            },
            "only": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)  # of the directories, which the programs must be able to enter
    try:
        files = read_options(module.params["files"])
        changed = [file for file in files if file.differs()]
        removed = superfluous(module.params["only"], files)
        diff = [file.diff() for file in changed] + [gone(path) for path in removed]
        if not module.check_mode:
            clear_leftovers(files)
            put_in_place(changed)
            for path in removed:
                path.unlink(missing_ok=True)
    except (InvalidFileError, OSError) as error:
        module.fail_json(msg=f"No file was changed: {error}")
    paths = [str(path) for path in [*(file.path for file in changed), *removed]]
    module.exit_json(changed=bool(paths), paths=paths, diff=diff)


if __name__ == "__main__":
    main()
