"""What happens to the WAL: is it archived, who keeps it, how much of it there is."""

from __future__ import annotations

from toolbox.checks import Check, Look
from toolbox.output import size_text, time_text
from toolbox.quantities import Limits

ARCHIVER = """
SELECT current_setting('archive_mode') AS mode,
       (SELECT setting::int FROM pg_settings WHERE name = 'archive_timeout') AS timeout,
       a.archived_count AS archived, a.failed_count AS failed, a.last_archived_wal, a.last_failed_wal,
       extract(epoch FROM now() - a.last_archived_time)::float8 AS archived_ago,
       extract(epoch FROM now() - a.last_failed_time)::float8 AS failed_ago,
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false) AS failing,
       w.waiting, w.oldest
FROM pg_stat_archiver a,
     (SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(modification)), 0)::float8 AS oldest
      FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') w
"""
WAL = """
SELECT (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()) AS size,
       greatest(pg_size_bytes(current_setting('max_wal_size')), pg_size_bytes(current_setting('wal_keep_size')))
           AS meant
"""
# A standby has no current WAL position of its own.
SLOTS = """
SELECT slot_name AS name, slot_type AS type, active, wal_status AS status,
       coalesce(pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
           restart_lsn), 0)::bigint AS kept
FROM pg_replication_slots ORDER BY 5 DESC, 1
"""


def check_archiver(look: Look) -> None:
    """Whether WAL reaches the archive, and how old the oldest is that has not."""
    found = look.session.row(ARCHIVER)
    look.measure("wal_archived_total", found["archived"], "WAL files archived.")
    look.measure("wal_archive_failures_total", found["failed"], "Failed attempts to archive a WAL file.")
    look.measure("wal_waiting_files", found["waiting"], "WAL files that wait to be archived.")
    look.measure("wal_waiting_seconds", found["oldest"], "Age of the oldest WAL file that waits, in seconds.")
    if found["archived_ago"] is not None:
        look.measure(
            "wal_last_archived_seconds",
            found["archived_ago"],
            "Age of the last archived WAL, in seconds.",
        )
    if found["mode"] == "off":
        look.say(
            "warning",
            "archive_mode is off: nothing after the last backup could be restored",
            advice="let the role backup set it up; or --skip archiver, where that is meant",
        )
        return
    last = "none yet" if found["archived_ago"] is None else f"the last {time_text(found['archived_ago'])} ago"
    if found["failing"]:
        level = max("warning", look.limits.level(found["oldest"]), key=("ok", "warning", "critical").index)
        since = time_text(found["oldest"]) if found["waiting"] else "a moment"
        look.say(
            level,
            f"archiving fails since {since}: {found['failed']} attempts in all, the last"
            f" {time_text(found['failed_ago'])} ago with {found['last_failed_wal']}; {found['waiting']} files wait;"
            f" archived: {last} ({look.limits.text})",
        )
        return
    look.judge(
        found["oldest"],
        f"{found['waiting']} WAL files wait, the oldest for {time_text(found['oldest'])}; archived: {last}"
        if found["waiting"]
        else f"no WAL file waits; archived: {last}",
    )
    if not found["timeout"]:
        look.say(
            "warning",
            "archive_timeout is 0: in a quiet hour the last changes stay on this host until 16 MB of WAL are full",
            advice="ALTER SYSTEM SET archive_timeout = '50s', or postgresql_settings of the inventory",
        )


def check_wal(look: Look) -> None:
    """How much WAL there is against what the settings mean to keep."""
    found = look.session.row(WAL)
    percent = 100 * found["size"] / found["meant"]
    look.judge(
        percent, f"{size_text(found['size'])} of WAL, {percent:.0f} % of max_wal_size or wal_keep_size"
    )
    look.measure("wal_size_bytes", found["size"], "Size of the files in pg_wal, in bytes.")


def check_slots(look: Look) -> None:
    """WAL that replication slots keep for a consumer that may never come back."""
    found = look.session.rows(SLOTS)
    for row in found:
        state = "active" if row["active"] else "nobody is connected"
        message = f"keeps {size_text(row['kept'])} of WAL, {state}"
        look.measure(
            "slot_kept_bytes", row["kept"], "WAL that a replication slot keeps, in bytes.", slot=row["name"]
        )
        if row["status"] == "lost":
            look.say("critical", f"has lost WAL that its consumer still needed, {state}", row["name"])
        elif row["status"] == "unreserved" and look.limits.level(row["kept"]) == "ok":
            look.say("warning", f"{message}, and loses it at the next checkpoint", row["name"])
        else:
            look.judge(row["kept"], message, row["name"])
    if not found:
        look.say("ok", "there is no replication slot")


CHECKS = [
    Check(
        "archiver",
        "Whether WAL files reach the archive: how long the oldest waits, and since when attempts fail. What waits is"
        " lost with this host: it is the RPO. An archive command that says that all is well and stores nothing is"
        " not seen here: bundle-archive-status looks into the repository.",
        "Read why in the server's log (journalctl, /var/log/postgresql): repository full or away, wrong passphrase."
        " WAL is kept until it succeeds, so watch the disk; PostgreSQL tries again by itself.",
        check_archiver,
        Limits(120, 300, "seconds"),
        "how long a WAL file waits to be archived",
    ),
    Check(
        "wal",
        "The size of pg_wal against what max_wal_size and wal_keep_size mean it to be. It grows beyond when archiving"
        " fails, a slot keeps it, or checkpoints do not keep up.",
        "See archiver and slots. Never delete files in pg_wal by hand.",
        check_wal,
        Limits(150, 300, "percent"),
        "size of pg_wal against max_wal_size",
    ),
    Check(
        "slots",
        "WAL that each replication slot keeps. A slot whose consumer is gone keeps it until the disk is full.",
        "Bring the consumer back, or SELECT pg_drop_replication_slot('NAME'); max_slot_wal_keep_size bounds it.",
        check_slots,
        Limits(1024**3, 10 * 1024**3, "bytes"),
        "WAL that a slot keeps",
    ),
]  # fmt: skip
