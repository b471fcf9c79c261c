"""One process of the product's Python that runs `alembic_driver`, and the conversation with it."""

from __future__ import annotations

import inspect
import json
import os
import pwd
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import IO, Any

from ansible.module_utils import alembic_driver
from ansible.module_utils.database_url import scrub
from ansible.module_utils.revisions import Revision, RevisionGraph

# `ps` then shows what runs, instead of the source itself.
_START = "import os, sys; exec(compile(os.fdopen(int(sys.argv.pop(1))).read(), '<alembic driver>', 'exec'))"
_OUTPUT_LINES = 20
_WAIT_FOR_EXIT = 10.0  # seconds, after the conversation is over


class ProcessError(RuntimeError):
    """The product's Python could not be started or ended before it answered."""


class AlembicProcess:
    """Started on entry, ended on exit. All text that comes out of it is scrubbed of `secrets`.

    `directory` is where alembic.ini is, `python` the interpreter of the release's virtual environment, `user`
    the unix user to run as (only root can become another one).
    """

    def __init__(
        self,
        *,
        directory: str,
        python: str,
        config: str,
        environment: Mapping[str, str],
        secrets: Iterable[str],
        user: str | None = None,
        version_table: str = "alembic_version",
        on_connect: Iterable[str] = (),
        on_concurrently: str = "",
    ) -> None:
        self._job = {
            "config": config,
            "version_table": version_table,
            "on_connect": list(on_connect),
            "on_concurrently": on_concurrently,
        }
        self._directory, self._python, self._user = directory, python, user
        self._environment, self._secrets = environment, list(secrets)
        self._output: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._received = b""
        self.versions: dict[str, Any] = {}

    def __enter__(self) -> AlembicProcess:
        self._output = tempfile.TemporaryFile()
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as source:
            source.write(inspect.getsource(alembic_driver).encode())
            source.seek(0)
            arguments = [str(source.fileno()), str(theirs.fileno()), str(os.getpid()), json.dumps(self._job)]
            try:
                self._process = subprocess.Popen(
                    [self._python, "-c", _START, *arguments],
                    cwd=self._directory,
                    env=self._whole_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=self._output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(source.fileno(), theirs.fileno()),
                    **self._identity(),
                )
            except OSError as error:
                ours.close()
                raise ProcessError(
                    f"{self._python} cannot be started in {self._directory}"
                    f"{f' as {self._user}' if self._user else ''}: {error.strerror}. Stage the release again."
                ) from error
            finally:
                theirs.close()
        self._channel = ours
        self.versions = self.receive()
        if self.versions["event"] == "fatal":
            self.close()
            raise ProcessError(
                f"{self._python} cannot run migrations: {self.versions['error']}. The release's environment "
                "needs alembic, sqlalchemy and a database driver; stage it again from a lock file with them."
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process: by itself when it has nothing to do, by force when it does not answer."""
        if self._channel:
            self._channel.close()
            self._channel = None
        if self._process and self._process.poll() is None:
            try:
                self._process.wait(_WAIT_FOR_EXIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._output:
            self._output.close()
            self._output = None

    def send(self, **command: Any) -> None:
        """One command."""
        assert self._channel
        self._channel.sendall((json.dumps(command) + "\n").encode())

    def receive(self, meanwhile: Callable[[], None] | None = None, every: float = 0.25) -> dict[str, Any]:
        """The next event. `meanwhile` is called about every `every` seconds until it comes.

        Raises ProcessError when the process ended instead.
        """
        assert self._channel
        due = time.monotonic() + every
        while b"\n" not in self._received:
            ready, _, _ = select.select(
                [self._channel], [], [], max(0.0, due - time.monotonic()) if meanwhile else None
            )
            if ready:
                part = self._channel.recv(65536)
                if not part:
                    raise ProcessError(self._ended())
                self._received += part
            elif meanwhile:
                meanwhile()
                due = time.monotonic() + every
        line, _, self._received = self._received.partition(b"\n")
        event: dict[str, Any] = json.loads(scrub(line.decode(), self._secrets))
        return event

    def output(self) -> list[str]:
        """The last lines that the product printed."""
        if self._output is None:
            return []
        # Through its own offset: the product's process shares this descriptor's.
        size = os.fstat(self._output.fileno()).st_size
        text = os.pread(self._output.fileno(), 65536, max(0, size - 65536)).decode(errors="replace")
        lines: list[str] = scrub(text, self._secrets).splitlines()
        return lines[-_OUTPUT_LINES:]

    def _ended(self) -> str:
        assert self._process
        code = self._process.wait()
        last = "; ".join(line.strip() for line in self.output()[-3:] if line.strip())
        return (
            f"the product's Python ended by {f'signal {-code}' if code < 0 else f'exit status {code}'} "
            f"in the middle of its work{f', after printing: {last}' if last else ''}."
        )

    def _whole_environment(self) -> dict[str, str]:
        user = pwd.getpwnam(self._user) if self._user else pwd.getpwuid(os.geteuid())
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "LANG": "C.UTF-8",
            # A release is immutable: no __pycache__ in it.
            "PYTHONDONTWRITEBYTECODE": "1",
            # What it printed last is known also when it dies.
            "PYTHONUNBUFFERED": "1",
            **self._environment,
        }

    def _identity(self) -> dict[str, Any]:
        if not self._user:
            return {}
        user = pwd.getpwnam(self._user)
        if user.pw_uid == os.geteuid():
            return {}
        return {
            "user": user.pw_uid,
            "group": user.pw_gid,
            "extra_groups": os.getgrouplist(user.pw_name, user.pw_gid),
        }


def render(
    process: AlembicProcess,
    graph: RevisionGraph,
    current: Iterable[str],
    path: Iterable[Revision],
    *,
    down: bool = False,
) -> tuple[str, list[str]]:
    """The SQL of every revision of the path, and the ids of those that cannot be rendered without the data.

    Nothing is read from or sent to a database.
    """
    applied = set(graph.closure(current))
    texts, not_rendered = [], []
    for revision in path:
        before = graph.tips(applied)
        applied ^= {revision.id}
        target = revision.way_back if down else revision.id
        process.send(do="render", **{"from": before, "to": target, "down": down})
        event = process.receive()
        if event["event"] == "sql":
            texts.append(event["sql"].strip())
        else:
            not_rendered.append(revision.id)
            texts.append(f"-- {revision.id}: not renderable offline ({event['error']}): run the rehearsal")
    return "\n\n".join(texts) + ("\n" if texts else ""), not_rendered


def rendered(sql: str, before: str, after: str) -> dict[str, str]:
    """SQL as Ansible's --diff shows it."""
    headers = {"before_header": f"the database at {before}", "after_header": f"the database at {after}"}
    return {"before": "", "after": sql, **headers}
