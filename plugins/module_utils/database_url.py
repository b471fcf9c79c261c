"""SQLAlchemy's database URLs: what libpq needs from them, what may be shown of them, and what must not be.

The grammar is that of sqlalchemy.engine.url (2.0), which is not RFC 3986: a raw `#` or `/` in a password is
allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

_URL = re.compile(
    r"""(?P<name>[\w+]+)://
        (?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?
        (?:(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?
        (?:/(?P<database>[^?]*))?
        (?:\?(?P<query>.*))?$""",
    re.X,
)
# What libpq knows of the words that drivers accept in a URL's query; the others are the driver's own.
_LIBPQ = frozenset(
    [
        "application_name",
        "connect_timeout",
        "dbname",
        "gssencmode",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "options",
        "passfile",
        "password",
        "port",
        "service",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslpassword",
        "sslrootcert",
        "ssl_min_protocol_version",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ]
)


class DatabaseUrlError(ValueError):
    """A URL that cannot be used; the message never contains it."""


@dataclass(frozen=True)
class DatabaseUrl:
    """The parts of a SQLAlchemy URL, percent-decoded where SQLAlchemy decodes them."""

    dialect: str
    driver: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: str | None = None
    database: str | None = None
    query: tuple[tuple[str, str], ...] = ()

    def libpq(self) -> dict[str, str]:
        """Connection parameters in libpq's words, for psycopg2.connect."""
        words = {"user": self.user, "password": self.password, "host": self.host, "port": self.port}
        result = {name: value for name, value in words.items() if value}
        if self.database:
            result["dbname"] = self.database
        hosts = [value for name, value in self.query if name == "host"]
        if hosts:
            # Several host=name:port become libpq's two lists.
            pairs = [
                host.rpartition(":") if not host.startswith("/") and ":" in host else (host, "", "")
                for host in hosts
            ]
            result["host"] = ",".join(host for host, _, _ in pairs)
            if any(port for _, _, port in pairs):
                result["port"] = ",".join(port for _, _, port in pairs)
        for name, value in self.query:
            if name == "ssl":  # asyncpg's word
                result["sslmode"] = {"true": "require", "false": "disable"}.get(value.lower(), value)
            elif name in _LIBPQ and name != "host":
                result[name] = value
        return result

    def placeholder(self) -> str:
        """The same kind of URL that reaches no server: for rendering SQL, which needs only the dialect."""
        database = quote(self.database or "postgres", safe="")
        return (
            f"{self.dialect}{'+' + self.driver if self.driver else ''}://render:render@127.0.0.1:1/{database}"
        )

    def shown(self) -> str:
        """Where it leads, without the password."""
        words = self.libpq()
        return f"{words.get('dbname', '?')} on {words.get('host', 'localhost')}:{words.get('port', '5432')}"


def parse(url: str) -> DatabaseUrl:
    """Raises DatabaseUrlError when it is no URL or not PostgreSQL's."""
    match = _URL.match(url.strip())
    if match is None:
        raise DatabaseUrlError(
            "database_url is no SQLAlchemy URL; it looks like "
            "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE, "
            "with @ : / ? # % in the password percent-encoded."
        )
    dialect, _, driver = match["name"].partition("+")
    if dialect not in ("postgresql", "postgres"):
        raise DatabaseUrlError(f'database_url is for "{dialect}"; this module migrates PostgreSQL only.')
    return DatabaseUrl(
        dialect=dialect,
        driver=driver,
        user=unquote(match["user"]) if match["user"] else None,
        password=unquote(match["password"]) if match["password"] else None,
        host=match["ipv6"] or match["host"],
        port=match["port"] or None,
        database=match["database"] or None,
        query=tuple(parse_qsl(match["query"] or "", keep_blank_values=True)),
    )


def elsewhere(url: str, host: str, port: int) -> str:
    """The same URL, of the same role and database, at another address.

    Raises DatabaseUrlError when it is no URL.
    """
    match = _URL.match(url.strip())
    if match is None or (not match["host"] and not match["ipv6"]):
        raise DatabaseUrlError(
            "database_url is no SQLAlchemy URL with a host in it, so it cannot lead elsewhere."
        )
    user = f"{match['user'] or ''}{':' + match['password'] if match['password'] is not None else ''}"
    place = f"[{host}]" if ":" in host else host
    rest = f"/{match['database'] or ''}{'?' + match['query'] if match['query'] else ''}"
    return f"{match['name']}://{user + '@' if user else ''}{place}:{port}{rest}"


_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|PRIVATE|DSN|URL|URI", re.I)
_LONG_ENOUGH_TO_BE_A_SECRET = 12


def secrets_in(url: str, environment: dict[str, str]) -> list[str]:
    """Every spelling of every secret that must not be shown, longest first.

    An environment holds plain settings too ("1", "production"); masking those would spoil every message, so a
    value counts when its name sounds like a secret or when it is long.
    """
    found: set[str] = set()
    for name, value in environment.items():
        match = _URL.match(value)
        if match and match["password"]:
            found |= {value, match["password"], unquote(match["password"])}
        elif _SECRET_NAME.search(name) or len(value) >= _LONG_ENOUGH_TO_BE_A_SECRET:
            found.add(value)
    match = _URL.match(url.strip())
    raw = match["password"] if match else None
    found |= {url, *((raw, unquote(raw), quote(unquote(raw), safe="")) if raw else ())}
    return sorted((text for text in found if text), key=len, reverse=True)


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets."""
    # In one pass: a mask that is searched again grows when the secret is an asterisk.
    spellings = "|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True))
    return re.sub(spellings, "********", text) if spellings else text
