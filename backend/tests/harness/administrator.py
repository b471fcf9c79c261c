"""Asking the monitoring routes as an administrator does."""

from __future__ import annotations

from typing import Any

import httpx

from harness.cluster import Database
from harness.rows import Rows, bearer
from harness.server import Server


class Administrator:
    """An administrator of the API that runs on `database`."""

    def __init__(self, server: Server, database: Database) -> None:
        with database.connect("app") as connection:
            self.headers = bearer(Rows(connection).user("admin"))
        self._server = server

    def get(self, route: str, **parameters: Any) -> httpx.Response:
        """The answer of a monitoring route."""
        url = f"{self._server.url}/api/monitoring/{route}"
        return httpx.get(url, params=parameters, headers=self.headers, timeout=20)

    def read(self, route: str, **parameters: Any) -> dict[str, Any]:
        """What the route tells; an AssertionError when it refuses."""
        answer = self.get(route, **parameters)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())
