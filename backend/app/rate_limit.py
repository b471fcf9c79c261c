"""Rate limits that all workers, colours and hosts share, through the table rate_limits."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import delete, text

from app.database import Database
from app.models import RateLimit
from app.problems import too_many_requests
from app.settings import Settings

# The responses of every route that spends.
RESPONSES: dict[int | str, dict[str, Any]] = {
    429: {"description": "Too many attempts; Retry-After says when to try again, in seconds"}
}

# A window begins with the first hit after the last one ended. All by the database's clock.
COUNT = text("""
    INSERT INTO rate_limits AS counted (key, window_start, hits) VALUES (:key, now(), 1)
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN counted.window_start + make_interval(secs => :seconds) <= now()
            THEN 1 ELSE counted.hits + 1 END,
        window_start = CASE WHEN counted.window_start + make_interval(secs => :seconds) <= now()
            THEN now() ELSE counted.window_start END
    RETURNING hits,
        ceil(extract(epoch FROM window_start + make_interval(secs => :seconds) - now()))::integer
            AS left_seconds
""")


class RateLimiter:
    """Counts attempts of this request's client, each in a transaction of its own: a failed one counts too."""

    def __init__(self, request: Request, database: Database) -> None:
        self._settings: Settings = request.app.state.settings
        self._database = database
        self._client = _network(request.client.host if request.client else "unknown")

    async def spend(self, action: str, account: str | None = None) -> None:
        """Count one attempt of `action`. Ends the session's transaction.

        Raises:
            HTTPException: 429 when it is one too many, by the client's address or for the account.
        """
        # The address first: one that is beyond its limit cannot use up an account's.
        await self._count(f"{action}.address", self._client)
        if account is not None:
            await self._count(f"{action}.account", account)

    async def forgive(self, action: str, account: str) -> None:
        """Forget the account's attempts, as it has shown who it is. In the session's transaction."""
        await self._database.execute(
            delete(RateLimit).where(RateLimit.key == self._key(f"{action}.account", account))
        )

    async def _count(self, name: str, who: str) -> None:
        limit = self._settings.rate_limits[name]
        counted = (
            await self._database.execute(COUNT, {"key": self._key(name, who), "seconds": limit.seconds})
        ).one()
        await self._database.commit()
        if counted.hits > limit.hits * self._settings.rate_limit_factor:
            raise too_many_requests(
                f"Too many attempts; try again in {max(counted.left_seconds, 1)} seconds.",
                counted.left_seconds,
            )

    def _key(self, name: str, who: str) -> str:
        """A key that tells nobody who it was: only who knows the secret can compute it."""
        secret = self._settings.jwt_secret.get_secret_value().encode()
        return hmac.new(secret, f"{name}\0{who}".encode(), hashlib.sha256).hexdigest()


def _network(host: str) -> str:
    """An IPv4 address as it is; of IPv6 the /64, of which one client has all addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return str(getattr(address, "ipv4_mapped", None) or address)


Limited = Annotated[RateLimiter, Depends()]
