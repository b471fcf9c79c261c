"""A mail server on the loopback interface: real sockets, real TLS, messages kept instead of delivered."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Received:
    """A message as it came, and how."""

    sender: str
    recipients: list[str]
    encrypted: bool
    user: str | None
    message: EmailMessage


@dataclass
class MailServer:
    """What the server holds and how it behaves."""

    port: int = 0
    login: tuple[str, str] | None = None
    """User and password that a client must give."""
    refusal: str | None = None
    """What every recipient is refused with, for example `550 no such user`."""
    received: list[Received] = field(default_factory=list)


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1 and localhost that vouches for itself, in one file with its key."""

    path: Path

    @classmethod
    def make(cls, directory: Path) -> Certificate:
        """A new one, good for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        path = directory / "certificate.pem"
        path.write_bytes(
            made.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cls(path)

    def context(self) -> ssl.SSLContext:
        """For the server's side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context


@contextmanager
def mail_server(
    certificate: Certificate | None = None, *, implicit_tls: bool = False, **behaviour: object
) -> Iterator[MailServer]:
    """A server until the block ends; with a certificate it offers STARTTLS, or is TLS from the start."""
    state = MailServer(**behaviour)  # type: ignore[arg-type]
    context = certificate.context() if certificate else None

    class Conversation(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, EOFError):  # the client left
                _Talk(self.request, state, context, implicit_tls).hold()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation) as server:
        server.daemon_threads = True
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


class _Talk:
    """One client's commands (RFC 5321, 3207, 4954), as far as smtplib goes."""

    def __init__(self, socket, state: MailServer, context: ssl.SSLContext | None, implicit: bool) -> None:  # type: ignore[no-untyped-def]
        self.state, self.context = state, context
        self.encrypted, self.user = implicit, None
        self.socket = context.wrap_socket(socket, server_side=True) if implicit and context else socket
        self.lines = self.socket.makefile("rb")
        self.sender, self.recipients = "", list[str]()

    def say(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def line(self) -> str:
        read = self.lines.readline()
        if not read:
            raise EOFError
        return read.decode().rstrip("\r\n")

    def hold(self) -> None:
        self.say("220 localhost test server")
        while True:
            words = self.line()
            verb = words[:4].upper()
            if verb == "QUIT":
                return self.say("221 bye")
            getattr(self, f"do_{verb.lower()}", self.unknown)(words)

    def unknown(self, words: str) -> None:
        self.say("502 not here")

    def do_ehlo(self, words: str) -> None:
        offered = ["localhost"]
        if self.context and not self.encrypted:
            offered.append("STARTTLS")
        if self.state.login:
            offered.append("AUTH PLAIN")
        self.say(*(f"250-{word}" for word in offered[:-1]), f"250 {offered[-1]}")

    def do_star(self, words: str) -> None:
        assert self.context is not None
        self.say("220 go ahead")
        self.socket = self.context.wrap_socket(self.socket, server_side=True)
        self.lines, self.encrypted = self.socket.makefile("rb"), True

    def do_auth(self, words: str) -> None:
        _, user, password = base64.b64decode(words.split()[2]).decode().split("\0")
        if (user, password) == self.state.login:
            self.user = user
            self.say("235 welcome")
        else:
            self.say("535 wrong")

    def do_mail(self, words: str) -> None:
        if self.state.login and self.user is None:
            return self.say("530 authenticate first")
        self.sender, self.recipients = words.split("<")[1].split(">")[0], []
        return self.say("250 ok")

    def do_rcpt(self, words: str) -> None:
        if self.state.refusal:
            return self.say(self.state.refusal)
        self.recipients.append(words.split("<")[1].split(">")[0])
        return self.say("250 ok")

    def do_rset(self, words: str) -> None:
        self.say("250 ok")

    def do_data(self, words: str) -> None:
        self.say("354 go ahead")
        body = []
        while (line := self.line()) != ".":
            body.append(line.removeprefix("."))
        message = message_from_bytes("\r\n".join(body).encode(), policy=default)
        assert isinstance(message, EmailMessage)
        self.state.received.append(Received(self.sender, self.recipients, self.encrypted, self.user, message))
        self.say("250 kept")
