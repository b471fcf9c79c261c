"""What a rehearsal found, held against what the inventory allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REFUSE, WARN, IGNORE = CHOICES = ("refuse", "warn", "ignore")
# What each kind of finding is about, and what it comes to unless the inventory says otherwise.
KINDS = {
    "unrestored_schema": REFUSE,
    "lossy_downgrade": REFUSE,
    "dropped_by_downgrade": IGNORE,
    "exclusive_lock": REFUSE,
    "table_rewrite": REFUSE,
    "old_release": REFUSE,
    "squawk": WARN,
}
# Not a matter of policy: it would fail in the deploy, too.
FAILS = "failing_migration"


@dataclass(frozen=True)
class Limits:
    """`lock_seconds` an ACCESS EXCLUSIVE lock may be held, `rewrite_mb` a table may have that is written anew."""

    lock_seconds: float
    rewrite_mb: float


@dataclass(frozen=True)
class Found:
    """A finding. `said` may have rows in it: it is for the terminal alone."""

    kind: str
    action: str
    migration: str
    message: str
    advice: str
    said: str = ""


def judge(
    measured: Mapping[str, Any],
    smoke: Mapping[str, Any],
    lints: Mapping[str, Sequence[Mapping[str, Any]]],
    policy: Mapping[str, str],
    limits: Limits,
) -> list[Found]:
    """What is to be said, the refusals first. `smoke` is empty where the older release was not asked."""
    found = [*_failures(measured), *_ways_back(measured), *_costs(measured, limits)]
    found += [*_older(measured, smoke), *_lints(measured, lints)]
    judged = [
        Found(
            one.kind,
            REFUSE if one.kind == FAILS else policy[one.kind],
            one.migration,
            one.message,
            one.advice,
            one.said,
        )
        for one in found
    ]
    return sorted((one for one in judged if one.action != IGNORE), key=lambda one: CHOICES.index(one.action))


def time_text(seconds: float) -> str:
    """0.25 is `250 ms`, 3.25 is `3.25 s`."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.4g} ms"


def title(step: Mapping[str, Any]) -> str:
    """A migration for people."""
    return f'{step["revision"]} ("{step["message"]}")' if step["message"] else str(step["revision"])


def shown_failure(failed: Mapping[str, Any]) -> str:
    """Why a migration failed, without PostgreSQL's own words."""
    state = f" (SQLSTATE {failed['sqlstate']})" if failed["sqlstate"] else ""
    place = f" in {failed['location']}" if failed["location"] else ""
    return f"{failed['kind']}{state}{place}"


def _failures(measured: Mapping[str, Any]) -> Iterator[Found]:
    for step in measured["revisions"]:
        if step["up"] and step["up"]["failed"]:
            yield Found(
                FAILS,
                REFUSE,
                title(step),
                f"it fails on the live data: {shown_failure(step['up']['failed'])}",
                "Correct the migration or the rows that stop it, and deploy that.",
                step["up"]["failed"]["said"],
            )


def _ways_back(measured: Mapping[str, Any]) -> Iterator[Found]:
    correct = (
        "Correct its downgrade(): a rollback needs it. To deploy it all the same, allow it for this once: "
    )
    schema = f"{correct}-e migration_rehearsal_on_unrestored_schema=warn"
    for step in measured["revisions"]:
        name, down, again = title(step), step["down"], step["again"]
        if step["irreversible"]:
            yield Found("unrestored_schema", "", name, "there is no way back: its downgrade() raises", schema)
        elif down and down["failed"]:
            said = f"its way back fails: {shown_failure(down['failed'])}"
            yield Found("unrestored_schema", "", name, said, schema, down["failed"]["said"])
        elif step["not_restored"]:
            lines = "\n".join(f"  {line}" for line in step["not_restored"])
            said = f"its downgrade() does not bring the schema back; gone (-) and left over (+) is:\n{lines}"
            yield Found("unrestored_schema", "", name, said, schema)
        if again and again["failed"]:
            said = f"after its downgrade() it does not run again: {shown_failure(again['failed'])}"
            yield Found("unrestored_schema", "", name, said, schema, again["failed"]["said"])
        if drops := _drops(step):
            advice = "A rollback keeps it in files first. Know it before you need it."
            yield Found(
                "dropped_by_downgrade", "", name, f"its downgrade() drops or overwrites {drops}", advice
            )
    if measured["again_differs"]:
        lines = "\n".join(f"  {line}" for line in measured["again_differs"])
        said = f"up, down and up again leads to another schema than up alone:\n{lines}"
        yield Found("unrestored_schema", "", "all migrations", said, schema)
    for one in measured["rows"]["changed"]:
        yield Found(
            "lossy_downgrade",
            "",
            ", ".join(one["revisions"]),
            f"after its downgrade() {one['table']} {one['what']}: a rollback would lose that",
            "Let the downgrade() bring the values back, or keep the old column until the release after next. To deploy "
            "it all the same: -e migration_rehearsal_on_lossy_downgrade=warn",
        )


def _drops(step: Mapping[str, Any]) -> str:
    """What a downgrade drops, in words."""
    if step["drops"] is None:
        return "what depends on the data"
    columns = [
        f"{table} ({', '.join(names)})"
        for table, names in step["drops"]["columns"].items()
        if table not in step["drops"]["tables"]
    ]
    return ", ".join([*step["drops"]["tables"], *columns])


def _costs(measured: Mapping[str, Any], limits: Limits) -> Iterator[Found]:
    for step in measured["revisions"]:
        if not step["up"]:
            continue
        name = title(step)
        for lock in step["up"]["locks"]:
            if lock["mode"] == "AccessExclusiveLock" and lock["seconds"] > limits.lock_seconds:
                yield Found(
                    "exclusive_lock",
                    "",
                    name,
                    f"it holds ACCESS EXCLUSIVE on {lock['relation']} for {time_text(lock['seconds'])}, and "
                    f"{limits.lock_seconds:g} s are allowed (migration_rehearsal_lock_seconds): every request that "
                    "reads or writes it waits for that long",
                    "Do it in steps that lock briefly: add without a check, NOT VALID and VALIDATE, CONCURRENTLY, rows "
                    "in batches in a migration of its own.",
                )
        for table in step["up"]["rewritten"]:
            if table["bytes"] > limits.rewrite_mb * 1024**2:
                yield Found(
                    "table_rewrite",
                    "",
                    name,
                    f"it writes {table['table']} anew, {table['bytes'] / 1024**2:,.1f} MB, and "
                    f"{limits.rewrite_mb:g} MB are allowed (migration_rehearsal_rewrite_mb)",
                    "Add a new column, fill it in batches, and change over in a later release.",
                )


def _older(measured: Mapping[str, Any], smoke: Mapping[str, Any]) -> Iterator[Found]:
    advice = (
        "Expand before you contract: the release before still needs what this one takes away, while it is deployed and "
        "after a rollback of the code. Take it away in the release after."
    )
    last = title(measured["revisions"][-1]) if measured["revisions"] else ""
    if measured["ended"] == "again":
        yield Found("old_release", "", last, "the release that serves could not be asked: see above", advice)
    elif smoke and smoke["wrong"]:
        said = (
            f"release {smoke['release']}, which serves, does not live with the new schema: {smoke['wrong']}"
        )
        yield Found("old_release", "", last, said, advice, smoke["said"])


def _lints(measured: Mapping[str, Any], lints: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Found]:
    for step in measured["revisions"]:
        for one in lints.get(step["revision"], ()):
            yield Found(
                "squawk",
                "",
                title(step),
                f"{one['rule_name']}: {one['message']}",
                "Correct it, or list the rule for this revision, with its reason, in the product's .squawk.toml.",
            )
