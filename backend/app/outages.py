"""Which errors mean that the database is away or overloaded, and what the client is told of each."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.database import SilentDatabaseError

AWAY = "The database does not answer at the moment; try again shortly."
BUSY = "The service is busy at the moment; try again shortly."
TOO_LONG = "This took too long; ask for less, or try again later."


class Outage(NamedTuple):
    """The answer's status, a word for logs and metrics, and a sentence for the client."""

    status: int
    cause: str
    detail: str


LOST = Outage(503, "connection", AWAY)

# By SQLSTATE, else by its first two characters (PostgreSQL's documentation, appendix A). Classes 54 and 55
# are no outage although the driver calls them operational: a statement is too complex, a library is missing.
_STATES = {
    "57014": Outage(504, "statement_timeout", TOO_LONG),
    "55P03": Outage(503, "lock_timeout", BUSY),
    "25P03": Outage(503, "idle_timeout", AWAY),
    # A standby now, or told to take no writes; the next connection may find the right server.
    "25006": Outage(503, "read_only", AWAY),
    # pgBouncer says all that it has to say with this one: no server, no place, waited too long.
    "08P01": Outage(503, "pooler", AWAY),
    "08": LOST,
    "28": Outage(503, "refused", AWAY),
    "3D": Outage(503, "refused", AWAY),
    "40": Outage(503, "conflict", BUSY),
    "53": Outage(503, "resources", AWAY),
    "57": Outage(503, "shutdown", AWAY),
    "58": Outage(503, "system", AWAY),
}


def outage(error: Exception) -> Outage | None:
    """What to answer for `error`; None when the database's availability is not to blame."""
    if isinstance(error, SilentDatabaseError):
        return Outage(503, "no_answer", AWAY)
    if isinstance(error, PoolTimeoutError):
        return Outage(503, "pool_timeout", BUSY)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.Error) and cause.sqlstate is not None:
        return _STATES.get(cause.sqlstate) or _STATES.get(cause.sqlstate[:2])
    # Without a code it is the driver's own: nobody there, or gone in the middle of a sentence.
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return LOST
    return LOST if isinstance(error, DBAPIError) and error.connection_invalidated else None
