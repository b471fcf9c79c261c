"""The command `python -m app.sample_data`."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, date, datetime

import psycopg

from app.database import connection_parameters
from app.sample_data.load import BusyError, Progress, analyze, load, tables_with_rows, take_lock
from app.sample_data.plan import Plan
from app.sample_data.world import make_world
from app.settings import DatabaseSettings, SettingsError
from app.settings import load as load_settings


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m app.sample_data",
        description="Fill an empty database (DATABASE_URL) with sample data: all of it, or nothing.",
    )
    options.add_argument("--jobs", type=int, default=100_000, help="number of jobs (default: %(default)s)")
    options.add_argument(
        "--applications", type=int, default=1_000_000, help="number of applications (default: %(default)s)"
    )
    options.add_argument("--seed", type=int, default=1, help="same seed, same rows (default: %(default)s)")
    options.add_argument(
        "--until",
        type=date.fromisoformat,
        default=datetime.now(UTC).date(),
        metavar="YYYY-MM-DD",
        help="the newest rows are of the day before; the same day, the same rows (default: today)",
    )
    options.add_argument(
        "--if-empty", action="store_true", help="a database with data is fine: leave it as it is"
    )
    return options


def main(words: list[str] | None = None) -> int:
    """Run the command. Returns 0 when the data is there, 1 when it cannot be, 2 for bad input."""
    arguments = parser().parse_args(words)
    progress = Progress()
    try:
        plan = Plan(arguments.jobs, arguments.applications, arguments.seed, arguments.until)
        parameters = connection_parameters(load_settings(DatabaseSettings).url)
    except (ValueError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return _fill(plan, parameters, bool(arguments.if_empty), progress)
    except BusyError as error:
        print(error, file=sys.stderr)
    except psycopg.errors.UndefinedTable as error:
        print(f"{error}the tables are not there yet; migrate first: alembic upgrade head", file=sys.stderr)
    except psycopg.OperationalError as error:
        print(f"cannot use the database of DATABASE_URL: {error}", file=sys.stderr)
    return 1


def _fill(plan: Plan, parameters: dict[str, object], if_empty: bool, progress: Progress) -> int:
    with psycopg.connect(**parameters, application_name="intowork-sample-data") as connection:  # type: ignore[arg-type]
        filled = tables_with_rows(connection)
        if not filled:
            # Ended while the rows are thought out: a transaction that only waits holds back vacuum.
            connection.rollback()
            world = make_world(plan)
            progress.say(f"planned: {plan.jobs:,} jobs, {plan.applications:,} applications, seed {plan.seed}")
            take_lock(connection)
            filled = tables_with_rows(connection)
        if filled:
            print(f"the database has data already, in: {', '.join(filled)}")
            if if_empty:
                return 0
            print(
                "sample data goes into an empty one only; with --if-empty this is no error", file=sys.stderr
            )
            return 1
        rows = load(connection, world, progress)
        connection.commit()
        progress.say(f"committed: {rows:,} rows")
        connection.autocommit = True
        analyze(connection, progress)
    print("try: candidate@example.com, employer@example.com, admin@example.com")
    return 0


if __name__ == "__main__":
    sys.exit(main())
