"""The restored cluster takes the place of the live one. Killed at any point, the next run goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from toolbox import journal
from toolbox.exchange import Exchange, ExchangeError
from toolbox.journal import Journal
from toolbox.live import LiveError
from toolbox.output import Report
from toolbox.pooler import Pooler, PoolerError
from toolbox.restoring import Place, RestoreError
from toolbox.timelines import shown

HISTORY = "restores.jsonl"
# Should this process die while the pooler's clients wait: systemd lets them go on after so many seconds.
RESUME_AFTER = 60


def switch(
    place: Place, note: Journal, wait: float, end_sessions: bool, tell: Callable[[str], None]
) -> Report:
    """Put the restored cluster in the place of the live one.

    `wait` is how many seconds open transactions may take to end; then it is given up and nothing has changed, or, with
    `end_sessions`, they are ended.

    Raises:
        RestoreError, LiveError, ClusterError: the live cluster is the one before, and serves.
    """
    report = Report(f"Switch of {place.known.stanza} to what was restored ({note.target})")
    if note.phase == "restoring":
        raise RestoreError(
            "what was restored is not whole: prepare was ended. Run it again, or bundle-restore discard"
        )
    if note.phase in {"prepared", "switching"}:
        seconds = exchange(place, note, wait, end_sessions, tell)
        report.add(
            "ok",
            "switched",
            f"the restored cluster serves; clients of the pooler waited {seconds:.1f} s at most",
        )
    tell("having the WAL of the new timeline archived")
    try:
        segment = place.live.archive_now(seconds=120)
        report.add("ok", "archiving", f"works on timeline {note.new_timeline}: {segment} is in the archive")
    except LiveError as error:
        report.add("critical", "archiving", str(error), "run bundle-restore switch again when it is mended")
    if note.had_live:
        report.add(
            "ok",
            "kept",
            f"the cluster before is in {note.kept}",
            f"when nobody needs it any more: rm -r {note.kept}",
        )
    report.add(
        "ok", "next", "a full backup, on the host that has the repository: systemctl start backup@full"
    )
    report.facts |= {"kept": str(note.kept) if note.had_live else "", "timeline": note.new_timeline}
    if report.level == "ok":
        finish(place, note)
    return report


def exchange(
    place: Place, note: Journal, wait: float, end_sessions: bool, tell: Callable[[str], None]
) -> float:
    """Exchange the clusters with the pooler's clients held; returns for how many seconds."""
    live = place.live
    if note.phase == "prepared":
        note.had_live = note.live.exists()
    # Its own server has to let go of it; after an end without order the start recovers it.
    place.clone().stop()
    steps = Exchange(note.directory, note.live, note.kept, note.had_live)
    if live.answers() and not steps.is_done:
        # What a checkpoint writes now, the one at the stop needs not write while clients wait.
        with live.connect() as session:
            session.execute("CHECKPOINT")
    began = time.monotonic()
    try:
        held(place, note, steps, wait, tell)
    except PoolerError as error:
        open_ones = live.open_transactions() if live.answers() else []
        if not end_sessions:
            raise RestoreError(
                f"nothing was switched: {error}, and clients go on. Transactions that are open:\n"
                + "\n".join(open_ones or ["none any more"])
                + "\nEnd them, give them longer (--wait), or let the switch end them (--end-sessions)."
            ) from error
        tell("ending the transactions that are open:\n" + "\n".join(open_ones))
        live.end_open_transactions()
        began = time.monotonic()
        try:
            held(place, note, steps, wait, tell)
        except PoolerError as again:
            raise RestoreError(f"nothing was switched: {again}, and clients go on") from again
    return time.monotonic() - began


def held(place: Place, note: Journal, steps: Exchange, wait: float, tell: Callable[[str], None]) -> None:
    """Exchange while the clients are held."""
    tell("holding the pooler's clients")
    with Pooler(place.known.pooler_port).paused(wait, RESUME_AFTER):
        # What is open now did not come through it: from a pooler of another host, or from a person.
        if not steps.is_done and place.live.answers() and not place.live.wait_for_transactions(wait):
            raise PoolerError(f"transactions that no pooler of this host holds stayed open for {wait:g} s")
        replace(place, note, steps, tell)


def replace(place: Place, note: Journal, steps: Exchange, tell: Callable[[str], None]) -> None:
    """The exchange itself; where the restored cluster does not start, back to the one before."""
    live = place.live
    note.write(place.state, "switching")
    try:
        if not steps.is_done:
            tell("stopping the live cluster")
            live.stop()
            steps.go_on()
        tell("starting the restored cluster in its place")
        live.start()
        with live.connect() as session:
            row = session.execute("SELECT timeline_id FROM pg_control_checkpoint()").fetchone()
        if row is None or row[0] != note.new_timeline:
            raise LiveError(f"the cluster that answers is not on timeline {note.new_timeline}: {row}")
    except (LiveError, ExchangeError, OSError, psycopg.Error):
        tell("going back to the cluster before")
        live.stop()
        steps.go_back()
        note.write(place.state, "prepared")
        if note.had_live:
            live.start()
        raise
    note.write(place.state, "switched")


def finish(place: Place, note: Journal) -> None:
    """The restore is over: what happened stays on record, the rest goes."""
    with (place.state / HISTORY).open("a") as file:
        entry = {
            "at": shown(datetime.now(UTC)),
            "target": str(note.target),
            "backup": note.backup,
            "timeline": note.new_timeline,
            "kept": str(note.kept) if note.had_live else "",
        }
        file.write(json.dumps(entry) + "\n")
    place.clone().remove()
    journal.forget(place.state)
