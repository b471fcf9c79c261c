"""Rows that compress like what people write, for COPY: text.py BYTES SEED prints key, owner, time, title and body.

Words of made-up syllables, the most frequent one much more often than the others (Zipf), so that a compressor finds
in them about what it finds in prose. What pgbench fills its tables with compresses to nearly nothing, and would flatter
every backup.
"""

from __future__ import annotations

import datetime
import itertools
import random
import sys
import uuid
from collections.abc import Iterator

SYLLABLES = [
    onset + vowel + coda for onset in "bcdfghjklmnprstvwz" for vowel in "aeiou" for coda in ("", *"nrstl")
]
WORDS = 20_000
LAST = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
# Words of a body: 250 to 1,000 bytes, so that it stays in its row, where PostgreSQL compresses nothing by itself.
SHORTEST, LONGEST = 40, 160


def lines(size: int, seed: int) -> Iterator[str]:
    """Rows of `size` bytes in all, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311  nobody's secret
    words = [
        "".join(chance.choices(SYLLABLES, k=chance.choice((1, 2, 2, 3, 3, 4))))
        for _ in itertools.repeat(None, WORDS)
    ]
    often = list(itertools.accumulate(1 / rank for rank in range(1, WORDS + 1)))
    made = 0
    while made < size:
        text = chance.choices(words, cum_weights=often, k=chance.randrange(SHORTEST, LONGEST))
        key, owner, days = (
            uuid.UUID(int=chance.getrandbits(128)),
            chance.randrange(100_000),
            chance.random() * 1000,
        )
        moment = LAST - datetime.timedelta(days=days)
        line = f"{key}\t{owner}\t{moment}\t{' '.join(text[:5]).capitalize()}\t{' '.join(text)}.\n"
        made += len(line)
        yield line


if __name__ == "__main__":
    sys.stdout.writelines(lines(int(sys.argv[1]), int(sys.argv[2])))
