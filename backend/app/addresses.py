"""E-mail addresses: what is one, and when two are the same."""

from __future__ import annotations

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field

from app.inputs import StorableText

# RFC 5321, 4.5.3.1.3: a path has 256 octets, with its two brackets.
MAX_ADDRESS = 254


def _usable(value: str) -> str:
    try:
        # Whether its domain takes mail is seen when mail is sent, not by asking the DNS here.
        found = validate_email(value, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        raise ValueError("is no address that mail can be sent to; write NAME@DOMAIN") from None
    return found.ascii_email or found.normalized


def same(address: str) -> str:
    """What two spellings of one address have in common, as in `unique_users_email_lower`.

    In Python and not by PostgreSQL's lower(): the rate limits of an account hang on this text too, and a
    letter that only one of them lowers would be a way round them.
    """
    return address.lower()


_field = Field(
    max_length=MAX_ADDRESS, examples=["ada.byron@example.com"], json_schema_extra={"format": "email"}
)

# For a new address; without quotes, comments and letters beyond ASCII before the @.
NewAddress = Annotated[StorableText, _field, AfterValidator(_usable)]
# For finding a user: one that was taken long ago need not be what is taken today.
GivenAddress = Annotated[
    StorableText, Field(min_length=1, max_length=MAX_ADDRESS, examples=["ada.byron@example.com"])
]
