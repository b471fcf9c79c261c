"""Mail: through a real server with and without TLS, into a directory, or nowhere; its failure is nobody's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from test_settings import GOOD

from app.mail import Letter, Mailer
from app.mail_transports import SmtpTransport, parse_mail_url
from app.settings import Settings, SettingsError, load
from harness.cluster import Database
from harness.pooler import Pooler
from harness.rows import Rows
from harness.server import Server
from harness.site import mail_settings, new_address, token_in
from harness.smtp import Certificate, mail_server
from harness.wait import free_port, until

RESET = "/api/auth/password-reset/request"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The mail server's."""
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def ask(
    start_server: Callable[..., Server], api_database: Database, pooler: Pooler, rows: Rows
) -> Callable[..., tuple[Server, str, int]]:
    """Starts a server with MAIL_URL and asks it for a reset; returns it, the address and the user's id."""

    def asked(mail_url: str, **variables: str) -> tuple[Server, str, int]:
        email = new_address()
        user = rows.user("candidate", email=email)
        settings = {**mail_settings(Path("/nowhere")), "MAIL_URL": mail_url, "SIGN_IN_FLOOR_SECONDS": "0"}
        url = api_database.url("app", pooler.host, pooler.port)
        server = start_server(url, **{**settings, **variables})
        answer = server.request("POST", RESET, json={"email": email})
        assert answer.status_code == 202, answer.text
        return server, email, user

    return asked


Ask = Callable[..., tuple[Server, str, int]]


def send(mail_url: str, to: str = "ada.byron@example.com") -> None:
    """Send one letter by this way."""
    letter = Letter("test", 7, to, "A subject", "Text with\n.\na lonely dot and an é\n")
    asyncio.run(Mailer(mail_url, "IntoWork <no-reply@intowork.test>").send(letter))


def log_line(server: Server, word: str) -> str:
    """The line of the log with this word, as soon as it is there."""

    def found() -> str:
        return next((line for line in server.output().splitlines() if word in line), "")

    return until(found, f"{word} in the log")


def test_mail_goes_out_after_the_answer(ask: Ask) -> None:
    with mail_server() as mail:
        _, email, _ = ask(f"smtp://127.0.0.1:{mail.port}?tls=none")
        until(lambda: mail.received, "a mail")
    [received] = mail.received
    assert (received.sender, received.recipients) == ("no-reply@intowork.test", [email])
    assert received.message["Subject"] == "Set a new password"
    assert len(token_in(received.message)) == 43


def test_a_mail_arrives_as_it_was_written() -> None:
    with mail_server() as mail:
        send(f"smtp://127.0.0.1:{mail.port}?tls=none")
    [received] = mail.received
    assert received.encrypted is False
    message = received.message
    assert (message["From"], message["To"]) == ("IntoWork <no-reply@intowork.test>", "ada.byron@example.com")
    assert message["Message-ID"].endswith("@intowork.test>")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().splitlines() == ["Text with", ".", "a lonely dot and an é"]


@pytest.mark.parametrize(("scheme", "implicit"), [("smtp", False), ("smtps", True)])
def test_mail_goes_encrypted_to_a_server_that_wants_a_password(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, scheme: str, implicit: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    login = ("the user", "p@ss/word:#?")
    with mail_server(certificate, implicit_tls=implicit, login=login) as mail:
        send(f"{scheme}://the%20user:p%40ss%2Fword%3A%23%3F@localhost:{mail.port}")
    [received] = mail.received
    assert (received.encrypted, received.user) == (True, "the user")


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_with_a_certificate_that_nobody_vouches_for_gets_nothing(
    caplog: pytest.LogCaptureFixture, certificate: Certificate, scheme: str
) -> None:
    with mail_server(certificate, implicit_tls=scheme == "smtps") as mail:
        send(f"{scheme}://localhost:{mail.port}")
    assert "mail test for user 7 is not sent: SSLCertVerificationError" in caplog.text
    assert mail.received == []


def test_a_server_without_encryption_gets_nothing_unless_told_so(caplog: pytest.LogCaptureFixture) -> None:
    with mail_server() as mail:
        send(f"smtp://localhost:{mail.port}")
    assert "mail test for user 7 is not sent: SMTPNotSupportedError" in caplog.text
    assert mail.received == []


def test_a_wrong_password_of_the_mail_server_is_logged_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, certificate: Certificate
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    with mail_server(certificate, login=("user", "right")) as mail:
        send(f"smtp://user:hunter2@localhost:{mail.port}")
    assert "mail test for user 7 is not sent: SMTPAuthenticationError" in caplog.text
    assert "hunter2" not in caplog.text
    assert mail.received == []


def test_a_mail_server_that_is_away_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    send(f"smtp://127.0.0.1:{free_port()}?tls=none")
    assert "mail test for user 7 is not sent: ConnectionRefusedError" in caplog.text


def test_a_refused_mail_changes_no_answer_and_is_logged_without_its_address(ask: Ask) -> None:
    with mail_server(refusal="550 no such user here") as mail:
        server, email, user = ask(f"smtp://127.0.0.1:{mail.port}?tls=none")
        line = log_line(server, "is not sent")
    assert f"mail password_reset for user {user} is not sent: SMTPRecipientsRefused" in line
    assert email.lower() not in server.output().lower()


def test_a_mail_into_a_directory_is_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    directory = tmp_path / "mail"
    send(f"file://{directory}")
    [path] = directory.iterdir()
    assert path.suffix == ".eml"
    assert "To: ada.byron@example.com" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    send(f"file://{tmp_path}/not/there")
    assert "mail test for user 7 is not sent: FileNotFoundError" in caplog.text


def test_without_mail_the_log_says_so_and_tells_no_address_and_no_token(ask: Ask) -> None:
    server, email, user = ask("log:", ENVIRONMENT="production")
    assert "nobody can verify an address or reset a password" in log_line(server, "mail is not sent")
    log_line(server, f"mail password_reset for user {user} is not sent: MAIL_URL is log:")
    assert email.lower() not in server.output().lower()
    assert "token" not in server.output()


def test_an_address_with_a_line_break_adds_no_recipient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    send(f"file://{tmp_path}", "a@example.com\r\nBcc: b@example.com")
    assert "mail test for user 7 is not sent: ValueError" in caplog.text
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://mail.example", 587, "starttls"),
        ("smtp://mail.example?tls=starttls", 587, "starttls"),
        ("smtp://mail.example:2525?tls=none", 2525, "none"),
        ("smtp://localhost?tls=none", 25, "none"),
        ("smtps://mail.example", 465, "implicit"),
    ],
)
def test_a_url_names_a_server_with_sensible_ports(url: str, port: int, tls: str) -> None:
    transport = parse_mail_url(url)
    assert isinstance(transport, SmtpTransport)
    assert (transport.port, transport.tls) == (port, tls)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MAIL_URL", "hunter2", "is of no known kind; write one of smtp://USER:PASSWORD@HOST:587"),
        ("MAIL_URL", "http://u:hunter2@mail.example", "is of no known kind"),
        ("MAIL_URL", "smtp://u:hunter2@", "has no host"),
        ("MAIL_URL", "smtp://u:hunter2@[::1", "is no URL"),
        ("MAIL_URL", "smtp://u:hunter2@mail.example:port", "has a port that is no number"),
        ("MAIL_URL", "smtp://u:hunter2@mail.example?tls=none", "would send the password in the clear"),
        ("MAIL_URL", "smtp://u:hunter2@mail.example?tls=hunter2", "it is starttls or none"),
        ("MAIL_URL", "smtps://u:hunter2@mail.example?tls=none", "it is implicit"),
        ("MAIL_URL", "smtp://u:p?hunter2@mail.example", "has a port that is no number"),
        ("MAIL_URL", "smtp://mail.example?hunter2=1", "has an option that is not tls"),
        ("MAIL_URL", "smtp://hunter2@mail.example", "has a user or a password but not both"),
        ("MAIL_URL", "file://relative/directory", "write file:///DIRECTORY, with three slashes"),
        ("MAIL_URL", "file:///", "names no directory"),
        ("MAIL_URL", "log:everything", "is of no known kind"),
        ("MAIL_FROM", "nobody", "is not one address"),
        ("MAIL_FROM", "a@b.example, c@d.example", "is not one address"),
        ("MAIL_FROM", "", "is not one address"),
        ("PUBLIC_URL", "intowork.example", "write https://HOST"),
        ("PUBLIC_URL", "https://intowork.example/?page=", "without ? and #"),
        ("PUBLIC_URL", "https://", "write https://HOST"),
    ],
)
def test_a_wrong_setting_is_explained_without_secrets(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    settings = {**GOOD, "MAIL_FROM": "a@b.example", "PUBLIC_URL": "https://b.example", variable: value}
    for name, good in settings.items():
        monkeypatch.setenv(name, good)
    with pytest.raises(SettingsError) as error:
        load(Settings)
    assert f"1 setting in the environment cannot be used:\n  {variable} " in str(error.value)
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


def test_who_sends_mail_says_from_whom_and_where_links_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() & {"MAIL_FROM", "PUBLIC_URL"}:
        monkeypatch.delenv(name)
    for name, good in {**GOOD, "MAIL_URL": "smtp://mail.example"}.items():
        monkeypatch.setenv(name, good)
    with pytest.raises(SettingsError) as error:
        load(Settings)
    assert "MAIL_FROM is missing, and MAIL_URL sends mail" in str(error.value)
    assert "PUBLIC_URL is missing, and MAIL_URL sends mail" in str(error.value)


def test_production_starts_without_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, good in {**GOOD, "ENVIRONMENT": "production"}.items():
        monkeypatch.setenv(name, good)
    assert load(Settings).mail_url.get_secret_value() == "log:"
