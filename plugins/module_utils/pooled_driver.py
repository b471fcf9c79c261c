"""Which drivers break behind a pool by transaction, how that is seen, and what to set.

A statement that is prepared by name belongs to one session of the server. A pool by transaction gives a client another
session with each transaction: there the name is unknown, or somebody else's. See docs/decisions/0022.
"""

from __future__ import annotations

import re

# What PostgreSQL says of it: 26000 and 42P05, and 08P01 where a name stands for another statement.
SIGNS = re.compile(
    r'prepared statement "[^"]*" (?:already exists|does not exist)'
    r"|bind message supplies \d+ parameters, but prepared statement"
    r"|cached statement plan is invalid"
)
ANOTHER_WAY = (
    "Or set bundle_pool_mode: session: then each client has a connection of its own for as long as it stays."
)
SETTINGS = {
    "asyncpg": (
        "For asyncpg set statement_cache_size=0, with SQLAlchemy in connect_args and beside it "
        'prepared_statement_cache_size=0 and prepared_statement_name_func=lambda: f"__asyncpg_{uuid4()}__"'
    ),
    "psycopg": 'For psycopg 3 set prepare_threshold=None, with SQLAlchemy in connect_args={"prepare_threshold": None}',
}
# Those that prepare every statement from the first on, so that the name alone says enough.
PREPARES_AT_ONCE = ("asyncpg",)


def shares_sessions(pool_mode: str) -> bool:
    """Whether a client meets another session of the server with each transaction."""
    return pool_mode != "session"


def driver_of(scheme: str) -> str:
    """The driver that a URL's scheme names: asyncpg of postgresql+asyncpg; empty where it names none."""
    return scheme.partition("+")[2]


def packages_of(lock: str) -> set[str]:
    """The names of the packages in a requirements file, as PyPI spells them."""
    found = re.findall(r"^([A-Za-z0-9][\w.-]*?)(?:\[[^\]]*\])?\s*==", lock, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def breaking_driver(scheme: str, packages: set[str]) -> str | None:
    """The driver that prepares statements by default, as far as the URL and the locked packages tell.

    A URL that names another driver is believed. One that names none is read by the product, which may then have made
    it asyncpg's, where it has that.
    """
    named = driver_of(scheme)
    return next(
        (driver for driver in PREPARES_AT_ONCE if named == driver or (not named and driver in packages)),
        None,
    )


def what_to_set(packages: set[str] | None = None) -> str:
    """What to do about it, for the drivers that are there; for all of them where that is not known."""
    settings = [text for driver, text in SETTINGS.items() if packages is None or driver in packages]
    return " ".join(f"{text}." for text in settings or SETTINGS.values()) + f" {ANOTHER_WAY}"
