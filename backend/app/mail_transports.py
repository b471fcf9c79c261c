"""The ways that mail takes: through SMTP, into a directory, or nowhere, as MAIL_URL says."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

URL_FORMS = (
    "smtp://USER:PASSWORD@HOST:587?tls=starttls, smtps://USER:PASSWORD@HOST:465,"
    " smtp://localhost:25?tls=none, file:///DIRECTORY or log:"
)
# For each step of the conversation with the server.
SMTP_SECONDS = 10
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Transport(Protocol):
    """A way that mail takes."""

    def deliver(self, message: EmailMessage) -> None:
        """Hand the message over, or raise OSError or ValueError."""


@dataclass(frozen=True)
class SmtpTransport:
    """A mail server; `tls` is starttls, implicit or none."""

    host: str
    port: int
    tls: str
    user: str | None
    password: str | None

    def deliver(self, message: EmailMessage) -> None:
        """Send it. smtplib's errors are OSErrors."""
        with self._connection() as server:
            if self.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self.user is not None:
                server.login(self.user, self.password or "")
            server.send_message(message)

    def _connection(self) -> smtplib.SMTP:
        # Of this host's name smtplib would ask the DNS.
        name = socket.gethostname()
        if self.tls == "implicit":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, name, timeout=SMTP_SECONDS, context=context)
        return smtplib.SMTP(self.host, self.port, name, timeout=SMTP_SECONDS)


@dataclass(frozen=True)
class FileTransport:
    """A directory with a file for each mail, for whoever may read it."""

    directory: Path

    def deliver(self, message: EmailMessage) -> None:
        """Write it, whole or not at all."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        name = uuid4().hex
        unfinished = self.directory / f".{name}"
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(message.as_bytes())
        unfinished.rename(self.directory / f"{name}.eml")


def sender_domain(sender: str) -> str:
    """The domain of `NAME <local@domain>` or `local@domain`.

    Raises:
        ValueError: it is not one address.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    addresses = message["From"].addresses
    if len(addresses) != 1 or not addresses[0].domain or not addresses[0].username:
        raise ValueError(f"is {sender!r}, which is not one address; write NAME <local@domain>")
    return str(addresses[0].domain)


def parse_mail_url(url: str) -> Transport | None:
    """The way that `url` names; None for log:.

    Raises:
        ValueError: the sentence says what is wrong, without the password.
    """
    if url == "log:":
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # its own text may have the password
        raise ValueError(f"is no URL; write one of {URL_FORMS}") from None
    if parts.scheme == "file":
        if parts.netloc or len(parts.path) < 2:
            raise ValueError("names no directory; write file:///DIRECTORY, with three slashes")
        return FileTransport(Path(unquote(parts.path)))
    if parts.scheme not in ("smtp", "smtps"):
        raise ValueError(f"is of no known kind; write one of {URL_FORMS}")
    if not parts.hostname:
        raise ValueError(f"has no host; write one of {URL_FORMS}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is no number from 0 to 65535") from None
    tls = _tls(parts.scheme, parts.query)
    if (parts.username is None) != (parts.password is None):
        raise ValueError("has a user or a password but not both; write USER:PASSWORD@, percent-encoded")
    if parts.password and tls == "none" and parts.hostname not in LOOPBACK:
        raise ValueError("would send the password in the clear; use tls=starttls or smtps://")
    return SmtpTransport(
        host=parts.hostname,
        port=port or {"implicit": 465, "starttls": 587, "none": 25}[tls],
        tls=tls,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def _tls(scheme: str, query: str) -> str:
    given = parse_qs(query, keep_blank_values=True)
    tls = given.pop("tls", ["implicit" if scheme == "smtps" else "starttls"])[-1]
    if given:
        raise ValueError("has an option that is not tls; percent-encode what is not plain in USER:PASSWORD")
    allowed = ("implicit",) if scheme == "smtps" else ("starttls", "none")
    if tls not in allowed:
        raise ValueError(f"has a tls that {scheme}:// does not know; it is {' or '.join(allowed)}")
    return tls
