"""What is stored and how it is read: cache, table sizes, dead rows, transaction numbers, checksums, temporary files."""

from __future__ import annotations

from toolbox.checks import Check, Look
from toolbox.counters import Counters
from toolbox.output import Bytes, size_text, time_text
from toolbox.quantities import Limits

# PostgreSQL stops to write about three million transactions before this many, 2^31.
LAST_TRANSACTION = 2**31
# Below this many blocks (80 MB) the share says more about a start than about a cache.
BLOCKS_TO_JUDGE = 10_000

TABLES = """
SELECT format('%I.%I', schemaname, relname) AS name, pg_total_relation_size(relid) AS size,
       pg_indexes_size(relid) AS indexes, n_live_tup AS live, n_dead_tup AS dead,
       greatest(last_vacuum, last_autovacuum) AS vacuumed, greatest(last_analyze, last_autoanalyze) AS analyzed,
       extract(epoch FROM now() - greatest(last_vacuum, last_autovacuum))::float8 AS vacuumed_ago
FROM pg_stat_user_tables
WHERE pg_total_relation_size(relid) IS NOT NULL
ORDER BY 2 DESC, 1
"""
AGES = """
SELECT datname AS name, age(datfrozenxid)::bigint AS transactions, mxid_age(datminmxid)::bigint AS multixacts
FROM pg_database ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC
"""
CHECKSUMS = """
SELECT current_setting('data_checksums') = 'on' AS "on", coalesce(sum(checksum_failures), 0)::bigint AS failures,
       string_agg(coalesce(datname, 'shared catalogs'), ', ') FILTER (WHERE checksum_failures > 0) AS places,
       max(checksum_last_failure) AS last
FROM pg_stat_database
"""


def check_cache_hit(look: Look) -> None:
    """The share of block reads that found the block in shared_buffers."""
    counters: Counters = look.facts
    hit, read = (_since_or_total(counters, name) for name in ("blks_hit", "blks_read"))
    look.measure("blks_hit_total", counters.totals["blks_hit"], "Block reads found in shared_buffers.")
    look.measure("blks_read_total", counters.totals["blks_read"], "Block reads not found in shared_buffers.")
    period = f"in {time_text(counters.seconds)}" if counters.before else "since statistics began"
    if hit + read < look.options.cache_hit_blocks:
        look.say("ok", f"not judged: only {hit + read:,} blocks were read {period}")
        return
    ratio = 100 * hit / (hit + read) if hit + read else 100.0
    look.judge(ratio, f"{ratio:.2f} % of {hit + read:,} block reads {period} were found in shared_buffers")
    look.measure("cache_hit_ratio", ratio / 100, "Share of block reads found in shared_buffers, from 0 to 1.")


def _since_or_total(counters: Counters, name: str) -> int:
    since = counters.since(name)
    return counters.totals[name] if since is None else since


def check_tables(look: Look) -> None:
    """Sizes of the database and of its largest tables."""
    size = look.session.row("SELECT pg_database_size(current_database()) AS size")["size"]
    look.judge(size, f"the database has {size_text(size)}")
    look.measure("size_bytes", size, "Size of the database, in bytes.")
    rows = look.session.rows(TABLES)[: look.options.rows]
    for row in rows:
        look.measure(
            "table_size_bytes",
            row["size"],
            "Size of a table with its indexes and TOAST, in bytes; of the largest ones.",
            table=row["name"],
        )
    look.report.add_table(
        "Largest tables",
        ("table", "size", "indexes", "rows", "dead rows", "last vacuum", "last analyze"),
        [
            (
                row["name"], Bytes(row["size"]), Bytes(row["indexes"]), row["live"], row["dead"],
                *(f"{row[name]:%Y-%m-%d %H:%M}" if row[name] else None for name in ("vacuumed", "analyzed")),
            )
            for row in rows
        ],
    )  # fmt: skip


def check_dead_rows(look: Look) -> None:
    """Tables in which VACUUM does not keep up."""
    found = 0
    for row in look.session.rows(TABLES):
        whole = row["live"] + row["dead"]
        if row["dead"] < look.options.dead_rows_least:
            continue
        percent = 100 * row["dead"] / whole
        if look.limits.level(percent) == "ok":
            continue
        found += 1
        ago = "never" if row["vacuumed_ago"] is None else f"{time_text(row['vacuumed_ago'])} ago"
        look.judge(
            percent, f"{row['name']} has {row['dead']:,} dead rows, {percent:.0f} %; last vacuumed {ago}"
        )
        look.measure(
            "table_dead_rows", row["dead"], "Dead rows of a table that has too many.", table=row["name"]
        )
    if not found:
        look.say("ok", f"no table has {look.options.dead_rows_least:,} dead rows that are too many of all")


def check_wraparound(look: Look) -> None:
    """How much of the room of transaction numbers is used, in every database of the cluster."""
    worst = None
    for row in look.session.rows(AGES):
        age = max(row["transactions"], row["multixacts"])
        kind = "transactions" if age == row["transactions"] else "multixacts"
        percent = 100 * age / LAST_TRANSACTION
        look.report.metric(
            "database_transaction_age_ratio",
            percent / 100,
            "Age of the oldest transaction or multixact number against 2^31, where PostgreSQL stops to write.",
            {"database": row["name"]},
        )
        if worst is None or percent > worst[0]:
            said = f"{row['name']}: {age:,} {kind} since the last freeze, {percent:.1f} % of what is possible"
            worst = (percent, said)
    assert worst is not None
    look.judge(*worst)


def check_checksums(look: Look) -> None:
    """Whether pages have checksums, and whether one was wrong."""
    found = look.session.row(CHECKSUMS)
    look.measure(
        "checksum_failures_total", found["failures"], "Pages with a wrong checksum, in all databases."
    )
    if not found["on"]:
        look.say(
            "warning",
            "data checksums are off: a page that the disk changed is returned as if it were right",
            advice="stop PostgreSQL and run pg_checksums --enable, at about the speed of the disk",
        )
    elif found["failures"]:
        look.say(
            "critical",
            f"{found['failures']} pages were wrong in {found['places']}, the last at {found['last']}",
        )
    else:
        look.say("ok", "no page had a wrong checksum")


def check_temp_files(look: Look) -> None:
    """Sorts and hashes that did not fit work_mem."""
    counters: Counters = look.facts
    total = counters.totals["temp_bytes"]
    look.measure("temp_bytes_total", total, "Bytes written to temporary files.")
    since = counters.since("temp_bytes")
    if since is None:
        look.say(
            "ok",
            f"{size_text(total)} since statistics began; judged with --state, by what came since then",
        )
    else:
        look.judge(since, f"{size_text(since)} in {time_text(counters.seconds)}")


CHECKS = [
    Check(
        "cache-hit",
        "Block reads of this database that were found in shared_buffers: since the run before with --state,"
        " otherwise since statistics began. A miss may still be in the kernel's cache.",
        "What reads so much? See slow-statements, and bundle-check-indexes for what is missing. Only then more memory:"
        " postgresql_memory_mb of the inventory sizes shared_buffers.",
        check_cache_hit,
        Limits(95, 90, "percent", falling=True),
        "share of block reads found in shared_buffers",
    ),
    Check(
        "tables",
        "Sizes of the database and its largest tables, with their rows.",
        "Is it growth that you expect? See dead-rows, and bundle-check-indexes for bloat and unused indexes.",
        check_tables,
        Limits(None, None, "bytes"),
        "size of the database",
    ),
    Check(
        "dead-rows",
        "Tables whose dead rows are a large share: autovacuum does not come, or something keeps them.",
        "See long-transactions, prepared-transactions and slots: they keep dead rows. Is there none:"
        " VACUUM (VERBOSE, ANALYZE) TABLE, and a smaller autovacuum_vacuum_scale_factor on the table.",
        check_dead_rows,
        Limits(20, 50, "percent"),
        "share of a table's rows that are dead",
    ),
    Check(
        "wraparound",
        "The age of the oldest transaction number that was not frozen, in all databases. autovacuum freezes at 9 %"
        " (autovacuum_freeze_max_age); at 100 % PostgreSQL takes no more writes.",
        "See long-transactions, prepared-transactions and slots, which stop freezing; then vacuumdb --freeze of that"
        " database as postgres.",
        check_wraparound,
        Limits(25, 50, "percent"),
        "share of the transaction numbers that is used",
    ),
    Check(
        "checksums",
        "Pages that the disk returned otherwise than they were written, in all databases.",
        "The disk or memory is failing: take a backup of what can be read beside the good ones, look at the kernel's"
        " log, restore on other hardware. Do not rebuild in place.",
        check_checksums,
    ),
    Check(
        "temp-files",
        "Bytes that sorts and hashes wrote to disk since the run before, because work_mem was too small.",
        "Find the statement (log_temp_files = 10MB) and let an index sort for it; raise work_mem for its role only.",
        check_temp_files,
        Limits(1024**3, 10 * 1024**3, "bytes"),
        "bytes of temporary files since the run before",
    ),
]  # fmt: skip
