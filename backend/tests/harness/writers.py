"""Work on the tables like the API's: many short transactions from several sessions, until told to stop."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import psycopg

from harness.cluster import Database
from harness.rows import Rows
from harness.wait import until

SESSIONS = 3


class Writers:
    """Sessions of the app that write and read all the time. Leaving waits for their end.

    Attributes:
        done: number of transactions that were committed.
        errors: what any of them was refused.
    """

    def __init__(self, database: Database) -> None:
        self.done = 0
        self.errors: list[str] = []
        self._database = database
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(SESSIONS)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Return when more transactions are through than there are sessions."""
        reached = self.done + 2 * SESSIONS
        until(lambda: self.done >= reached or self.errors, "the writers get on")

    def _work(self) -> None:
        try:
            with self._database.connect("app") as connection:
                connection.execute("SET lock_timeout = '10s'")
                while not self._stop.is_set():
                    with connection.transaction():
                        self._one(connection)
                    self.done += 1
        except psycopg.Error as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def _one(self, connection: psycopg.Connection[Any]) -> None:
        """A person comes, applies, is answered and told; tables in another order than that of migrations."""
        rows = Rows(connection)
        candidate = rows.candidate()
        user = candidate.user_id
        rows.insert("accounts", user_id=user, type="oauth", provider="google", provider_account_id=str(user))
        job = rows.job()
        application = rows.insert("job_applications", job_id=job, candidate_id=candidate.profile_id)
        connection.execute("SELECT count(*) FROM jobs WHERE status = 'published'")
        connection.execute(
            "UPDATE job_applications SET status = 'viewed', viewed_at = now() WHERE id = %s", (application,)
        )
        rows.insert("notifications", user_id=user, type="status_change", title="News", message="Viewed")
        connection.execute("UPDATE jobs SET applications_count = 1 WHERE id = %s", (job,))
        connection.execute("UPDATE users SET is_active = false WHERE id = %s", (user,))
