#!/usr/bin/python3
"""A clone of the live data for a rehearsal, on the host with the repository: restored, reachable, and thrown away."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

import psycopg  # noqa: E402  (the path above has to be there first)
from toolbox import cloning, drilling, output, pgbackrest, settings  # noqa: E402
from toolbox.cluster import ClusterError  # noqa: E402
from toolbox.job import EndedError, end_in_order, told  # noqa: E402
from toolbox.live import Live, LiveError  # noqa: E402
from toolbox.lock import LockedError, only_one  # noqa: E402
from toolbox.output import Report, Seconds, size_text, time_text  # noqa: E402
from toolbox.targets import Target  # noqa: E402
from toolbox.timelines import WindowError  # noqa: E402

SECONDS = 4 * 3600
EPILOG = f"""\
ansible-playbook playbooks/rehearse.yml calls the steps, and a deploy that rehearses does:
  bundle-clone archive     on the database host: all that was committed by now is in the archive
  bundle-clone start       on the host with the repository: restores it all, and lets the API hosts in
  bundle-clone remove      there, when the rehearsal is over

The clone never archives. It listens on one port, over TLS, for the roles that migrate and serve, by their live
passwords. One that a killed rehearsal left is removed by the next, or by itself after {SECONDS // 3600} hours.

{output.EXIT_STATUS_HELP}.
"""
PROBLEMS = (
    ClusterError,
    WindowError,
    LiveError,
    LockedError,
    EndedError,
    pgbackrest.PgbackrestError,
    settings.SettingsError,
    psycopg.Error,
    OSError,
)
Step = Callable[[settings.Settings, argparse.Namespace, Report], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Do one step, and say what is there now."""
    options = read_options(argv)
    end_in_order()
    report = Report(f"bundle-clone {options.step}")
    try:
        known = settings.load()
        part, step = STEPS[options.step]
        if part not in known.parts:
            where = {"database": "database host", "repository": "host with the repository"}[part]
            raise settings.SettingsError(
                f"bundle-clone {options.step} is for the {where}, and this is another one"
            )
        if os.geteuid() != 0:
            raise PermissionError(None, "run this as root: it starts and stops clusters")
        with only_one(known.state_directory / "clone.lock", f"bundle-clone {options.step}"):
            step(known, options, report)
    except PROBLEMS as error:
        report.add("critical", "failed", str(error))
    print(report.render(options.format))
    return report.exit_status


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bundle-clone",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=list(STEPS), help="see below; plan says what start would restore")
    parser.add_argument(
        "--seconds",
        type=int,
        default=SECONDS,
        metavar="N",
        help=f"after which a clone removes itself (default: {SECONDS})",
    )
    output.add_format_option(parser)
    return parser.parse_args(argv)


def plan(known: settings.Settings, _options: argparse.Namespace, report: Report) -> None:
    """What would be restored. That there is no backup yet is no error."""
    backups = pgbackrest.info(known.stanza).backups
    report.facts["backups"] = len(backups)
    if not backups:
        report.add("ok", "plan", "there is no backup yet that could be restored")
        return
    course = drilling.choose(known, Target("latest"))
    cloning.clone_of(known).check_space(course.backups[0])
    report.add("ok", "plan", f"{course.target}, from {course.backups[0].label}, into {known.clone_directory}")


def archive(known: settings.Settings, _options: argparse.Namespace, report: Report) -> None:
    """What was committed by now gets into the archive."""
    Live(known).archive_now()
    report.add("ok", "archive", "has all that was committed by now")


def start(known: settings.Settings, options: argparse.Namespace, report: Report) -> None:
    """A clone."""
    report.facts |= cloning.start(known, options.seconds, told)
    facts = report.facts
    report.add(
        "ok",
        "clone",
        f"{size_text(facts['bytes'])} from {facts['backup']}, at revision {facts['revision'] or 'none'}, on port "
        f"{facts['port']} of {facts['address']}; it goes after {time_text(options.seconds)}",
    )
    report.add_table(
        "Steps", ("step", "time"), [(name, Seconds(took)) for name, took in facts["seconds"].items()]
    )


def remove(known: settings.Settings, _options: argparse.Namespace, report: Report) -> None:
    """No clone."""
    cloning.remove(known)
    report.add("ok", "clone", "nothing of it is there")


STEPS: dict[str, tuple[str, Step]] = {
    "plan": ("repository", plan),
    "archive": ("database", archive),
    "start": ("repository", start),
    "remove": ("repository", remove),
}


if __name__ == "__main__":
    sys.exit(main())
