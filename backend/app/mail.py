"""Sending mail, after the answer and beside it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid

from app.mail_transports import parse_mail_url, sender_domain
from app.workers import BusyError, Workers

logger = logging.getLogger("intowork")

# A server that is slow holds up other mails, not requests.
_workers = Workers("mail", threads=2, waiting=1000)


@dataclass(frozen=True)
class Letter:
    """A mail to one user. Of it only `kind` and `user_id` may be logged: the text has single-use links."""

    kind: str
    user_id: int
    to: str
    subject: str
    text: str


class Mailer:
    """Sends letters, in threads of its own."""

    def __init__(self, url: str, sender: str | None) -> None:
        self._transport = parse_mail_url(url)
        self._sender = sender or ""
        if self._transport is None:
            logger.warning(
                "mail is not sent: MAIL_URL is log:, so nobody can verify an address or reset a password"
            )

    async def send(self, letter: Letter) -> None:
        """Send the letter; a failure is logged, and that is all."""
        if self._transport is None:
            logger.warning("mail %s for user %d is not sent: MAIL_URL is log:", letter.kind, letter.user_id)
            return
        try:
            await _workers.run(self._transport.deliver, self._written(letter))
        except (OSError, ValueError, BusyError) as error:
            # Not its text: mail servers repeat the address in it.
            logger.error(
                "mail %s for user %d is not sent: %s", letter.kind, letter.user_id, type(error).__name__
            )

    def _written(self, letter: Letter) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=sender_domain(self._sender))
        # So that no holiday notice comes back.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        return message
