"""The front door, as a browser knocks: over TLS, with a certificate that is checked, from outside of the hosts."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, from JSON."""
        return json.loads(self.body)


class Door(http.client.HTTPSConnection):
    """HTTPS to an address, with the name that the certificate has to be for."""

    def __init__(self, address: str, domain: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(domain, timeout=timeout)
        self._address = address
        self._trust = context

    def connect(self) -> None:
        """Connect to the address, and check the certificate against the name."""
        plain = socket.create_connection((self._address, 443), timeout=self.timeout)
        self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)


@dataclass(frozen=True)
class Web:
    """A proxy by address, the domain it answers for, and the certificate it shows (PEM)."""

    address: str
    domain: str
    certificate: str = field(repr=False)

    def get(self, path: str, *, token: str | None = None, timeout: float = 10) -> Answer:
        """GET over a connection of its own."""
        return self._ask("GET", path, None, token, timeout)

    def post(self, path: str, content: Any, *, token: str | None = None) -> Answer:
        """POST of JSON."""
        return self._ask("POST", path, json.dumps(content), token, 10)

    def get_at_once(self, path: str, clients: int) -> list[int]:
        """GET by so many clients, each over a connection of its own that was open before; the statuses."""
        context = ssl.create_default_context(cadata=self.certificate)
        doors = [Door(self.address, self.domain, context, 30) for _ in range(clients)]
        try:
            for ask in (Door.connect, lambda door: door.request("GET", path)):
                for door in doors:
                    ask(door)
            return [door.getresponse().status for door in doors]
        finally:
            for door in doors:
                door.close()

    def plain_get(self, path: str) -> Answer:
        """GET over HTTP without TLS; redirects are not followed."""
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        return self._answer(connection, "GET", path, None, {"Host": self.domain})

    def _ask(self, method: str, path: str, body: str | None, token: str | None, timeout: float) -> Answer:
        context = ssl.create_default_context(cadata=self.certificate)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = Door(self.address, self.domain, context, timeout)
        return self._answer(connection, method, path, body, headers)

    @staticmethod
    def _answer(
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: str | None,
        headers: dict[str, str],
    ) -> Answer:
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()
