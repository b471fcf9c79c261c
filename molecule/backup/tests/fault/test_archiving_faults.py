"""The host loses power while it stores WAL: all that was committed gets into the archive afterwards."""

from __future__ import annotations

from shared.landscape import Landscape
from shared.machine import Machine
from shared.restores import REPOSITORY, Restores
from shared.sql import Superuser
from shared.wait import until

ROWS = 60000
# More than one segment's worth at once.
FILL = f"INSERT INTO notes SELECT repeat(md5(number::text), 30) FROM generate_series(1, {ROWS}) AS number"
# Stops pgBackRest while a segment is half stored: what it writes has its name when it is whole.
HALF = f"""
half() {{ find {REPOSITORY}/archive/intowork/15-1 -name '*.tmp' | grep -q .; }}
while true; do
    until half; do sleep 0.005; done
    kill -STOP $(pgrep -x pgbackrest)
    half && break
    kill -CONT $(pgrep -x pgbackrest)
done
"""


def test_power_cut_while_wal_is_stored_loses_none_of_it(
    backups: Restores, landscape: Landscape, database: Machine, notes: Superuser
) -> None:
    notes("DELETE FROM notes")
    stored = backups.stored()
    database.sh(f"({HALF}) & {notes.command(FILL)} && wait", timeout=60)
    landscape.lose_power(database)
    until(
        lambda: notes("SELECT count(*) FROM notes") == str(ROWS),
        seconds=60,
        what="the live cluster with its rows",
    )
    # Waits until all of it is in the archive, and then replays it.
    prepared = backups.restore("prepare", "--latest")
    backups.restore("discard")
    (restored,) = [row for row in prepared["tables"]["Rows of intowork"] if row["table"] == "public.notes"]
    assert restored["restored"] == ROWS
    assert [text for text in backups.verified() if "stale" not in text] == []
    assert stored.items() <= backups.stored().items()
    database.sh("bundle-archive-status")
    notes("TRUNCATE notes")
