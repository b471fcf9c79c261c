"""The API with mail into a directory, and what a visitor does there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from harness.server import Server
from harness.wait import until

PASSWORD = "correct horse battery staple"
# Two, as after a rotation; the first seals.
TOKEN_KEYS = (
    "Zm9yIHRlc3RzOiB0aGUgZmlyc3Qga2V5LCAzMiBieXQ=",
    "Zm9yIHRlc3RzOiB0aGUgb3RoZXIga2V5LCAzMiBieXQ=",
)
FLOOR_SECONDS = 0.1

_numbers = count(1)


def new_address() -> str:
    """An address that nobody has."""
    return f"Visitor.{next(_numbers)}@example.com"


def mail_settings(directory: Path) -> dict[str, str]:
    """Settings for mail into `directory`."""
    return {
        "MAIL_URL": f"file://{directory}",
        "MAIL_FROM": "IntoWork <no-reply@intowork.test>",
        "PUBLIC_URL": "https://intowork.test",
    }


class Site:
    """A server and its mail."""

    def __init__(self, server: Server, mail: Path) -> None:
        self.server = server
        self.client = httpx.Client(base_url=server.url, timeout=60)
        self._mail = mail

    def post(self, path: str, body: Any, token: str | None = None) -> httpx.Response:
        """A POST, as the bearer of `token` when there is one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.post(path, json=body, headers=headers)

    def register(self, email: str, **values: Any) -> httpx.Response:
        """A registration, as a candidate with `PASSWORD` unless told otherwise."""
        body = {
            "email": email,
            "password": PASSWORD,
            "role": "candidate",
            "first_name": "Ada",
            "last_name": "Byron",
        }
        return self.post("/api/auth/register", body | values)

    def login(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """A login."""
        return self.post("/api/auth/login", {"email": email, "password": password})

    def tokens(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        """The tokens of a login that works."""
        answer = self.login(email, password)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def newcomer(self, **values: Any) -> str:
        """The address of somebody who has just registered."""
        email = new_address()
        assert self.register(email, **values).status_code == 202
        return email

    def headers(self, email: str) -> dict[str, str]:
        """What signs the requests of this user."""
        return {"Authorization": f"Bearer {self.tokens(email)['access_token']}"}

    def letters(self, email: str) -> list[EmailMessage]:
        """All mail to an address by now, in the order of no matter."""
        found = []
        for path in self._mail.glob("*.eml"):
            message = message_from_bytes(path.read_bytes(), policy=default)
            assert isinstance(message, EmailMessage)
            if message["To"] == email:
                found.append(message)
        return found

    def letter(self, email: str, subject: str) -> EmailMessage:
        """The one mail with this subject, as soon as it is there."""
        [found] = until(
            lambda: [letter for letter in self.letters(email) if letter["Subject"] == subject],
            f"a mail {subject!r}",
        )
        return found

    def mailed_token(self, email: str, subject: str) -> str:
        """The token in the link of that mail."""
        return token_in(self.letter(email, subject))

    def at_once(self, path: str, bodies: Iterable[Any]) -> list[httpx.Response]:
        """POST all bodies at the same time."""

        async def all_of_them() -> list[httpx.Response]:
            limits = httpx.Limits(max_connections=100)
            async with httpx.AsyncClient(base_url=self.server.url, timeout=60, limits=limits) as client:
                return await asyncio.gather(*(client.post(path, json=body) for body in bodies))

        return asyncio.run(all_of_them())


def token_in(letter: EmailMessage) -> str:
    """What follows #token= in a letter."""
    found = re.search(r"#token=(\S+)", letter.get_content())
    assert found is not None, letter.get_content()
    return found[1]
