"""Requests that go on while something happens."""

from __future__ import annotations

import json
import shlex
import threading
from types import TracebackType

from shared.sql import Sql
from shared.wait import until
from shared.web import Web

REQUESTS_A_SECOND = 5


class Requests:
    """GET of a page, again and again from a thread of its own, while the block runs.

    A failure is a status other than 200, no answer, or an answer that takes more than 10 s.
    """

    def __init__(self, web: Web, path: str = "/api/jobs?limit=1") -> None:
        self._web, self._path = web, path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> Requests:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(1 / REQUESTS_A_SECOND):
            try:
                answer = self._web.get(self._path)
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if answer.status == 200:
                self.answered += 1
            else:
                self.failures.append(f"{answer.status} {answer.body[:200]!r}")


# Two sessions that stay and one that is new each time: what a pool is, and what a new worker does.
CLIENT = """
import json, os, sys, time, psycopg2
conninfo, stop, result = sys.argv[1:]
def connect():
    connection = psycopg2.connect(conninfo)
    connection.autocommit = True
    return connection
done, failures, longest, kept = 0, [], 0.0, [connect(), connect()]
open(stop + ".ready", "w").close()
while not os.path.exists(stop):
    for number in range(3):
        began = time.monotonic()
        try:
            connection = kept[number] if number < 2 else connect()
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM alembic_version")
            done += 1
            if number == 2:
                connection.close()
        except psycopg2.Error as error:
            failures.append(str(error))
            if number < 2:
                kept[number] = connect()
        longest = max(longest, time.monotonic() - began)
    time.sleep(0.05)
with open(result, "w") as file:
    json.dump({"done": done, "failures": failures, "longest": longest}, file)
"""


class Transactions:
    """Transactions on the database host, again and again, while the block runs. Seconds in `longest`."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._machine = sql.machine
        self.done = 0
        self.failures: list[str] = []
        self.longest = 0.0

    def __enter__(self) -> Transactions:
        conninfo = f"{self._sql.conninfo} password={self._sql.password}".replace(
            "connect_timeout=5", "connect_timeout=30"
        )
        self._machine.sh("rm -rf /tmp/transactions && mkdir /tmp/transactions")
        words = ["python3", "-c", CLIENT, conninfo, "/tmp/transactions/stop", "/tmp/transactions/result"]
        # The limit is for a test that is killed: its client must not go on for ever.
        self._machine.sh(f"setsid timeout 300 {shlex.join(words)} </dev/null >/tmp/transactions/log 2>&1 &")
        until(
            lambda: self._machine.host.file("/tmp/transactions/stop.ready").exists,
            seconds=20,
            what="the client's first connection",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._machine.sh("touch /tmp/transactions/stop")
        told = until(
            lambda: self._machine.sh("cat /tmp/transactions/result"),
            seconds=40,
            what="what the client counted",
        )
        found = json.loads(told)
        self.done, self.failures, self.longest = found["done"], found["failures"], found["longest"]
