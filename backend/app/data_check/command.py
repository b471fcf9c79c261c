"""The command `python -m app.cli check-data`."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from app.data_check.clean import clean
from app.data_check.find import Found, NoTablesError, look
from app.database import connection_parameters
from app.settings import Settings

CLEAN, FOUND, FAILED = 0, 1, 2
# So many of each check are shown as text; JSON has all.
SHOWN = 20

HELP = "find rows that the rules of the schema would not allow; only ids are shown"
MORE = f"""Exit status: {CLEAN} nothing was found, {FOUND} something was found (with --yes: is left),
{FAILED} it was not possible to look. It works before the migrations that add the rules and after them.
Take a backup before --yes."""


def add_to(commands: Any) -> None:
    """Add the command to the parsers of `commands`."""
    command: argparse.ArgumentParser = commands.add_parser(
        "check-data", help=HELP, description=f"{HELP.capitalize()}.", epilog=MORE
    )
    command.add_argument(
        "--clean", action="store_true", help="say what the stated rules would do; with --yes, do it"
    )
    command.add_argument(
        "--yes", action="store_true", help="with --clean: change the data, in one transaction"
    )
    command.add_argument(
        "--saved-to",
        type=Path,
        metavar="FILE",
        help="with --yes: a new file for every row that is changed, as it was, in JSON; it has personal data",
    )
    command.add_argument("--format", choices=("text", "json"), default="text", help="default: %(default)s")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Look, and clean when told to. Returns the exit status."""
    problem = _misused(arguments)
    if problem:
        print(problem, file=sys.stderr)
        return FAILED
    try:
        with psycopg.connect(
            **connection_parameters(settings.url), connect_timeout=5, application_name="intowork-check-data"
        ) as connection:
            return _run(connection, arguments)
    except FileExistsError:
        print(f"{arguments.saved_to} is there already; give the name of a new file", file=sys.stderr)
    except (NoTablesError, OSError) as error:
        print(error, file=sys.stderr)
    except psycopg.errors.SerializationFailure:
        print(
            "rows were changed by somebody else meanwhile; nothing was cleaned, run it again", file=sys.stderr
        )
    except psycopg.Error as error:
        # The second line of the server's message may quote a row.
        print(f"the database could not be asked: {str(error).splitlines()[0]}", file=sys.stderr)
    return FAILED


def _misused(arguments: argparse.Namespace) -> str:
    if arguments.yes and not arguments.clean:
        return "--yes goes with --clean"
    if arguments.yes and not arguments.saved_to:
        return "--yes needs --saved-to FILE, where every row that is changed is written first"
    if arguments.saved_to and not arguments.yes:
        return "--saved-to goes with --clean --yes"
    return ""


def _run(connection: psycopg.Connection[Any], arguments: argparse.Namespace) -> int:
    found = look(connection)
    done = None
    left = found
    if arguments.yes:
        done = clean(connection, arguments.saved_to)
        left = look(connection)
    if arguments.format == "json":
        print(json.dumps(_as_json(found, done, left), indent=2))
    else:
        _show(found, arguments, done, left)
    return FOUND if any(each.problems for each in left) else CLEAN


def _as_json(found: list[Found], done: Counter[str] | None, left: list[Found]) -> dict[str, Any]:
    def listed(results: list[Found]) -> list[dict[str, Any]]:
        return [
            {
                "check": check.name,
                "wrong": check.wrong,
                "rule": check.rule,
                "table": check.table,
                "found": len(problems),
                "problems": [problem._asdict() for problem in problems],
            }
            for check, problems in results
            if problems
        ]

    whole: dict[str, Any] = {"checks": len(found), "found": listed(found)}
    return whole if done is None else {**whole, "done": dict(done), "left": listed(left)}


def _show(
    found: list[Found], arguments: argparse.Namespace, done: Counter[str] | None, left: list[Found]
) -> None:
    _list(found, with_rules=arguments.clean)
    if done is None:
        if arguments.clean and any(each.problems and each.check.action for each in found):
            print("Nothing was changed. To do it: check-data --clean --yes --saved-to FILE")
        return
    for what, count in sorted(done.items()):
        print(f"done: {what}: {count}")
    print(f"what it was is in {arguments.saved_to}")
    if any(each.problems for each in left):
        print("\nLeft:")
        _list(left, with_rules=True)


def _list(results: list[Found], with_rules: bool) -> None:
    for check, problems in results:
        if not problems:
            continue
        print(f"{check.name}: {len(problems)} found: {check.wrong}")
        for of, ids in problems[:SHOWN]:
            print(f"  {of + ': ' if of else ''}{check.table} {', '.join(map(str, ids[:SHOWN]))}")
        if len(problems) > SHOWN:
            print(f"  and {len(problems) - SHOWN} more; --format json has all")
        if with_rules:
            print(f"  rule: {check.rule}")
    if not any(each.problems for each in results):
        print(f"{len(results)} checks, nothing found")
