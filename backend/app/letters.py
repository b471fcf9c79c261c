"""What the service writes to people.

Nothing that somebody typed into a form is in these texts: a stranger could send their own words to
anyone's address by registering it.
"""

from __future__ import annotations

from app.mail import Letter

END = "\n\nIntoWork\n"


class Letters:
    """Letters with links to the site at `public_url`."""

    def __init__(self, public_url: str | None) -> None:
        self._public_url = public_url or ""

    def verify_email(self, user_id: int, address: str, token: str) -> Letter:
        """The first mail: the address is to be verified."""
        return Letter(
            "verify_email",
            user_id,
            address,
            "Please verify your address",
            "Hello,\n\nthis address was given for an account at IntoWork. Open this link within a day to say"
            f" that it is yours:\n\n{self._link('verify-email', token)}\n\n"
            f"If it was not you, do nothing: somebody may have mistyped their own address.{END}",
        )

    def known_address(self, user_id: int, address: str, token: str | None) -> Letter:
        """Somebody registers an address that has an account; without `token` that account is closed."""
        remedy = (
            "There is one with this address, but it is closed. Write to us if you want it back."
            if token is None
            else "You have one already, so nothing was changed: sign in as usual. If you have forgotten the"
            f" password, set a new one within half an hour:\n\n{self._link('reset-password', token)}"
        )
        return Letter(
            "known_address",
            user_id,
            address,
            "You have an account already",
            "Hello,\n\nsomebody, perhaps you, asked for an account at IntoWork with this address."
            f" {remedy}\n\nIf it was not you, do nothing.{END}",
        )

    def password_reset(self, user_id: int, address: str, token: str) -> Letter:
        """The link to set a new password."""
        return Letter(
            "password_reset",
            user_id,
            address,
            "Set a new password",
            "Hello,\n\nsomebody, perhaps you, asked for a new password for your account at IntoWork."
            f" Open this link within half an hour to choose one:\n\n{self._link('reset-password', token)}\n\n"
            f"If it was not you, do nothing: your password stays as it is.{END}",
        )

    def password_changed(self, user_id: int, address: str) -> Letter:
        """After a reset, in case it was somebody else."""
        return Letter(
            "password_changed",
            user_id,
            address,
            "Your password was changed",
            "Hello,\n\nthe password of your account at IntoWork was changed just now, and all its sessions"
            f" were ended.\n\nIf it was not you, ask for a new password at once and write to us.{END}",
        )

    def _link(self, page: str, token: str) -> str:
        # After the #, which browsers keep to themselves: no server on the way logs it.
        return f"{self._public_url}/{page}#token={token}"
