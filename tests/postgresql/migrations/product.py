"""A product made for a test: an Alembic project in a folder, and the module run on it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

ROOT = Path(__file__).resolve().parents[3]

INI = """\
[alembic]
script_location = %(here)s/migrations
path_separator = os

[loggers]
keys = root
[handlers]
keys =
[formatters]
keys =
[logger_root]
level = WARNING
handlers =
"""

ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine, pool

url = os.environ["DATABASE_URL"]
print("the product greets", url)
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""

FORGETFUL_ENV = ENV.replace(
    "        with context.begin_transaction():\n            context.run_migrations()\n",
    "        with connection.begin() as transaction:\n"
    "            context.run_migrations()\n"
    "            transaction.rollback()\n",
)

_FILE = '''\
"""{message}"""
import os

import sqlalchemy as sa
from alembic import op

revision = {id!r}
down_revision = {down!r}


def upgrade() -> None:
{up}


def downgrade() -> None:
{back}
'''

# As Ansible starts it: arguments from outside, module_utils of the project beside Ansible's own.
_RUN = """
import json, runpy, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.testing import patch_module_args
with patch_module_args(json.load(sys.stdin)):
    runpy.run_path(sys.argv[2], run_name="__main__")
"""


@dataclass
class Product:
    """An Alembic project in `folder` that finds its database under `url`."""

    folder: Path
    url: str
    roles: dict[str, str]
    last: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "migrations" / "versions").mkdir(parents=True)
        (self.folder / "alembic.ini").write_text(INI)
        self.environment(ENV)

    def environment(self, source: str) -> None:
        """Another env.py."""
        (self.folder / "migrations" / "env.py").write_text(source)

    def add(
        self, id_: str, up: str, back: str = "pass", *, down: Any = ..., message: str | None = None
    ) -> None:
        """One more revision, after the last one unless `down` says otherwise. A body is SQL or Python."""
        text = _FILE.format(
            id=id_,
            down=self.last if down is ... else down,
            message=message or f"make {id_}",
            up=_body(up),
            back=_body(back),
        )
        (self.folder / "migrations" / "versions" / f"{id_}.py").write_text(text)
        self.last = id_

    def table(self, id_: str, name: str) -> None:
        """A revision that makes a table."""
        self.add(id_, f"CREATE TABLE {name} (id integer PRIMARY KEY, name text)", f"DROP TABLE {name}")

    def arguments(self, **parameters: Any) -> dict[str, Any]:
        """What the module gets."""
        return {
            "directory": str(self.folder),
            "python": sys.executable,
            "database_url": self.url,
            "app_roles": [self.roles["app"]],
            "advisory_lock_timeout": 2,
            "lock_timeout": 1,
            "retries": 2,
            **self.parameters,
            **parameters,
        }

    def start(self, *, check: bool = False, diff: bool = False, **parameters: Any) -> subprocess.Popen[str]:
        """The module, running."""
        arguments = self.arguments(**parameters) | {"_ansible_check_mode": check, "_ansible_diff": diff}
        return start("alembic", arguments)

    def rehearse(self, expected: str, **parameters: Any) -> dict[str, Any]:
        """The result of a rehearsal on the database, which stands for a clone of one at `expected`."""
        known = ("directory", "python", "database_url", "lock_timeout", "retries")
        arguments = {name: value for name, value in self.arguments().items() if name in known}
        return finish(start("alembic_rehearsal", arguments | {"expected_revision": expected} | parameters))

    def run(self, **parameters: Any) -> dict[str, Any]:
        """The module's result."""
        return finish(self.start(**parameters))


def start(module: str, arguments: dict[str, Any]) -> subprocess.Popen[str]:
    """A module of ours, running."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _RUN,
            str(ROOT / "plugins/module_utils"),
            str(ROOT / f"plugins/modules/{module}.py"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(json.dumps(arguments))
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a started module answers."""
    out, err = process.communicate(timeout=120)
    lines = [line for line in out.splitlines() if line.startswith("{")]
    assert lines, f"no answer; it wrote {out} {err}"
    result: dict[str, Any] = json.loads(lines[-1])
    result["everything_written"] = out + err
    return result


def _body(text: str) -> str:
    text = dedent(text).strip()
    is_sql = text.split(" ", 1)[0].isupper()
    return indent(f"op.execute({text!r})" if is_sql else text, "    ")
