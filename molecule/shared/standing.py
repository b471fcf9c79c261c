"""All that a release which is refused leaves as it was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from shared.fingerprint import catalogs
from shared.product import Product
from shared.rows import checksums
from shared.sql import Endpoints
from shared.web import Web

Unharmed = Callable[[str], AbstractContextManager[None]]


def standing(product: Product, sql: Endpoints, web: Web) -> dict[str, Any]:
    """What serves, the record, the schema with its revision, and the rows' checksums."""
    return {
        "serves": web.get("/health").json["release"],
        "state": product.state(),
        "idle colour runs": product.machine.is_running(product.unit(product.idle_colour)),
        "revision": sql.superuser("SELECT version_num FROM alembic_version"),
        "schema": catalogs(sql.superuser),
        "rows": checksums(sql.superuser),
    }
