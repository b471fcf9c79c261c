"""What the shop is told through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The settings.

    Attributes:
        database: URL of the database, as SQLAlchemy has them.
        pictures: directory in which pictures are kept.
        currency: in which all prices are.
        counter_key: whoever knows it may add articles.
        release: which release this is.
    """

    database: str
    pictures: Path
    currency: str
    counter_key: str
    release: str

    @classmethod
    def read(cls) -> Settings:
        """The settings of this process; KeyError for one that is missing."""
        return cls(
            database=os.environ["SHOP_DB"],
            pictures=Path(os.environ["SHOP_PICTURES"]),
            currency=os.environ["SHOP_CURRENCY"],
            counter_key=os.environ["SHOP_COUNTER_KEY"],
            release=os.environ.get("RELEASE_ID", "none"),
        )
