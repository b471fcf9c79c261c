"""Rows for a database of a size: letters that read like letters, in tables with two indexes each."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarks import text
from scripts.benchmarks.backup_host import DATABASE, DatabaseHost

SCHEMA = "bench"
# Dumps and their restores go by table: there has to be work for all processes.
TABLES = 4
# What is made at once. It is repeated until the size is reached, far beyond the 2 MB in which zst finds what it has
# seen before, and the 64 kB and 32 kB of lz4 and gz.
PIECE_BYTES = 128_000_000
# What a row takes beyond its line: its header, its id, and its place in two indexes.
OVERHEAD_BYTES = 65
PLACE = "/var/tmp/bench-rows"  # noqa: S108  a directory of root's host
TABLE = """
BEGIN;
CREATE TABLE {name} (
    id bigint GENERATED ALWAYS AS IDENTITY,
    key uuid NOT NULL,
    owner_id integer NOT NULL,
    made_at timestamptz NOT NULL,
    title text NOT NULL,
    body text NOT NULL
);
{copies}
COMMIT;
ALTER TABLE {name} ADD PRIMARY KEY (id);
CREATE INDEX ON {name} (owner_id, made_at);
ANALYZE {name};
"""
# Frozen, also in the visibility map: nothing is left for autovacuum to do while something is measured. That
# needs rows which come in bulk, and PostgreSQL takes them one by one where a column's default is a volatile function.
WHOLE = "COPY {name} (key, owner_id, made_at, title, body) FROM '{place}/rows' WITH (FREEZE);"
PART = "COPY {name} (key, owner_id, made_at, title, body) FROM PROGRAM 'head -n {rows} {place}/rows' WITH (FREEZE);"


def fill(database: DatabaseHost, wanted: int) -> int:
    """Add tables until the database has about `wanted` bytes; return how many it has."""
    missing = wanted - database.size()
    if missing <= 0:
        return database.size()
    host, known = database.host, database.sql(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{SCHEMA}'")
    first = int(known)
    host.run(f"install -d -m 0755 {PLACE}")
    host.put(Path(text.__file__), f"{PLACE}/text.py")
    piece = min(PIECE_BYTES, missing // TABLES)
    host.run(f"python3 {PLACE}/text.py {piece} {first} >{PLACE}/rows; chmod 0644 {PLACE}/rows")
    rows, size = map(int, host.run(f"wc -l -c <{PLACE}/rows").split())
    database.sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    with database.unarchived():
        for number in range(first, first + TABLES):
            statements = table(f"{SCHEMA}.letters_{number}", missing // TABLES, rows, size)
            host.run(f"cat >{PLACE}/{number}.sql <<'END_OF_SQL'\n{statements}END_OF_SQL")
        psql = f"runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 -d {DATABASE} -f"
        host.run(f"cd / && ls {PLACE}/*.sql | xargs -P {database.processes} -n 1 {psql}")
        database.sql("CHECKPOINT")
    host.run(f"rm -r {PLACE}")
    return database.size()


def table(name: str, wanted: int, rows: int, size: int, place: str = PLACE) -> str:
    """The statements that make a table of `wanted` bytes, of a file in `place` with `rows` lines and `size` bytes."""
    whole, rest = divmod(wanted * rows // (size + OVERHEAD_BYTES * rows), rows)
    copies = [WHOLE.format(name=name, place=place)] * whole
    copies += [PART.format(name=name, place=place, rows=rest)] * (rest > 0)
    return TABLE.format(name=name, copies="\n".join(copies))
