"""What pgBackRest's `verify` says. Its exit status is 0 whatever it finds, so what counts is what it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolbox import pgbackrest

# At the level detail it also names the one of two copies that is damaged. Without --job-retry=0 (an option that its
# manual does not have) it tries each WAL file that it cannot read three times, with 15 s in between.
COMMAND = ("--log-level-console=detail", "--job-retry=0", "verify")
COMPLETE = "verify command end: completed successfully"
LINE = re.compile(r"^\S+ \S+ P\d+\s+(?P<level>[A-Z]+): (?P<text>.*)$")
# What it says in good health too.
HARMLESS = re.compile(
    r"verify command (begin|end)\b|archiveId: \S+, wal start: |backup '\S+' appears to be in progress, skipping"
)
SUMMARY = re.compile(r"stanza: |status: ")
FILE = re.compile(
    r"(?P<what>invalid checksum|invalid size|file missing|duplicate WAL) '(?P<path>[^']+)'"
    r"|invalid result (?P<unread>\S+): (?P<why>.*)"
)
IN_SUMMARY = re.compile(
    r"backup: (?P<label>\S+), status: (?P<status>\S+), total files checked: (?P<files>\d+)"
)
# Of a damaged list it prints whole lines.
LONGEST = 300
WORDS = {
    "invalid checksum": "is not as it was stored",
    "invalid size": "has not the size that it was stored with",
    "file missing": "is missing",
    "duplicate WAL": "is there twice",
}


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong.

    kind is file (a file of a backup, or WAL), backup (a whole one), copy (of the two copies of a list one is damaged),
    or other. `path` is as pgBackRest writes it, LABEL/pg_data/… or 15-1/0000000100000000/…; empty where it says none.
    """

    kind: str
    path: str
    message: str


def ask(stanza: str, repository: int) -> str:
    """Let pgBackRest read every file of a repository, and return all that it says.

    Raises:
        PgbackrestError: it ended with an error.
    """
    lines: list[str] = []
    pgbackrest.stream(stanza, f"--repo={repository}", *COMMAND, tell=lines.append)
    return "\n".join(lines)


def read(said: str) -> list[Complaint]:
    """Read all that `verify` printed at the level detail."""
    found: list[Complaint] = []
    if COMPLETE not in said:
        found.append(Complaint("other", "", "pgbackrest verify did not come to its end"))
    in_summary = False
    for line in said.splitlines():
        match = LINE.match(line)
        if match:
            text = match["text"].strip()
            in_summary = text.startswith("stanza: ")
            if not in_summary and not HARMLESS.match(text):
                found.append(_said(match["level"], text))
        elif in_summary:
            found += _summed_up(line.strip())
        # Other lines without a time belong to the one before: its hint, or what it said when it tried again.
    return found


def _said(level: str, text: str) -> Complaint:
    if match := FILE.match(text):
        if match["unread"]:
            return Complaint("file", match["unread"], f"cannot be read: {match['why']}")
        return Complaint("file", match["path"], WORDS[match["what"]])
    # What cannot be made good by the other copy is in its summary, or has a level of its own.
    return Complaint("copy" if level == "DETAIL" else "other", "", printable(text))


def printable(text: str) -> str:
    """A text for people that may have bytes of a damaged file in it."""
    clean = "".join(letter if letter.isprintable() else "·" for letter in text)
    return clean if len(clean) <= LONGEST else f"{clean[:LONGEST]}…"


def _summed_up(line: str) -> list[Complaint]:
    if match := IN_SUMMARY.match(line):
        if match["status"] == "valid":
            return []
        unread = " (nothing of it could be looked at)" if match["files"] == "0" else ""
        return [Complaint("backup", match["label"], f"{match['status']}{unread}")]
    # The counts under a backup or an archive say nothing that the files have not said.
    return [Complaint("other", "", line)] if line.startswith("No usable ") else []
