"""A migration that cannot go through: what it did is undone or told, and the old release serves throughout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.load import UnderLoad
from shared.machine import CommandError, Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Change, Newer
from shared.sql import Endpoints
from shared.standing import Unharmed, standing
from shared.wait import until
from shared.web import Web

DEPLOY = "playbooks/deploy.yml"
ALONE = "with op.get_context().autocommit_block():\n    "
FAIL = 'op.execute("SELECT 1 / 0")'
# What somebody looks at for long, and a migration wants to change.
REPORT = """systemd-run --quiet --unit report --collect --property RuntimeMaxSec=300 --setenv PGAPPNAME=report \
psql -U postgres -h /var/run/postgresql -d intowork \
-c 'BEGIN; SELECT count(*) FROM candidates; SELECT pg_sleep(300)'"""
READS_CANDIDATES = """
SELECT 1 FROM pg_stat_activity WHERE application_name = 'report' AND query LIKE '%pg_sleep%'
AND EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid AND relation = 'candidates'::regclass)
"""


@pytest.fixture
def long_transaction(database: Machine, sql: Endpoints) -> Iterator[None]:
    """A transaction that reads the candidates and does not end."""
    database.sh(REPORT)
    try:
        until(lambda: sql.superuser(READS_CANDIDATES) == "1", seconds=30, what="the long transaction")
        yield
    finally:
        database.sh("systemctl stop report.service", ok=(0, 5))


def test_a_migration_that_fails_in_the_middle_is_undone_with_those_before_it(
    playbook: Playbook, product: Product, newer: Newer, unharmed: Unharmed
) -> None:
    whole = Change(
        "fa1100000001", 'op.execute("CREATE TABLE whole AS SELECT 1 AS id")', 'op.drop_table("whole")'
    )
    half = Change("fa1100000002", f'op.execute("CREATE TABLE half (id integer)")\n{FAIL}')
    with unharmed("a migration fails in the middle"):
        run = playbook.run(DEPLOY, **newer("half", whole, half))
    run.says(
        "division by zero",
        "Migration fa1100000002",
        "Nothing of it stays.",
        "Next: Correct the revision",
        f"Release {product.release} still serves",
        "The schema is back at revision",
    )


def test_what_a_migration_committed_by_itself_before_it_failed_is_told(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    web: Web,
    newer: Newer,
    people: None,
    under_load: UnderLoad,
) -> None:
    before = standing(product, sql, web)
    committed = Change("fa1100000003", f'{ALONE}op.execute("CREATE TABLE committed (id integer)")\n{FAIL}')
    with under_load("a migration commits by itself and then fails"):
        run = playbook.run(DEPLOY, **newer("committed", committed))
    run.says(
        "division by zero",
        "1 of its statements are committed already and stay: CREATE TABLE committed (id integer).",
        "undo them by hand or write them IF NOT EXISTS",
        f"Release {product.release} still serves",
    )
    sql.superuser("DROP TABLE committed")
    assert standing(product, sql, web) == before


def test_a_failed_concurrent_build_leaves_no_invalid_index(
    playbook: Playbook, sql: Endpoints, newer: Newer, unharmed: Unharmed
) -> None:
    build = 'op.create_index("same_name", "users", ["last_name"], unique=True, postgresql_concurrently=True)'
    with unharmed("CREATE INDEX CONCURRENTLY fails"):
        run = playbook.run(DEPLOY, **newer("concurrently", Change("fa1100000004", ALONE + build)))
    run.says("Key (last_name)=(Same) is duplicated.", "Those rows break the new rule")
    assert sql.superuser("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == "0"


def test_an_invalid_index_that_if_not_exists_would_keep_is_built_anew(
    playbook: Playbook, sql: Endpoints, newer: Newer, people: None, under_load: UnderLoad
) -> None:
    with pytest.raises(CommandError, match="could not create unique index"):
        sql.superuser("CREATE UNIQUE INDEX CONCURRENTLY left_over ON users (last_name)")
    build = 'op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS left_over ON users (last_name)")'
    down = 'op.drop_index("left_over")'
    with under_load("IF NOT EXISTS finds an invalid index"):
        playbook.must(DEPLOY, **newer("if-not-exists", Change("fa1100000005", ALONE + build, down)))
    assert sql.superuser("SELECT indisvalid FROM pg_index WHERE indexrelid = 'left_over'::regclass") == "t"


def test_duplicates_that_break_a_new_unique_index_are_named(
    playbook: Playbook, newer: Newer, unharmed: Unharmed
) -> None:
    build = 'op.create_index("same_name", "users", ["last_name"], unique=True)'
    with unharmed("duplicates break a new unique index"):
        run = playbook.run(DEPLOY, **newer("duplicates", Change("fa1100000006", build)))
    run.says("Key (last_name)=(Same) is duplicated.", "correct them in the database, then run this again")


def test_a_long_transaction_that_blocks_a_migration_is_named_and_no_request_queues_behind_it(
    playbook: Playbook, sql: Endpoints, newer: Newer, long_transaction: None, unharmed: Unharmed
) -> None:
    change = Change("fa1100000007", 'op.add_column("candidates", sa.Column("fault", sa.Integer))')
    with unharmed("a long transaction blocks a migration"):
        run = playbook.run(DEPLOY, migration_lock_timeout=1, migration_retries=2, **newer("blocked", change))
        assert sql.superuser("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "0"
    run.says(
        "(SQLSTATE 55P03)",
        "Tried 3 times.",
        "application report",
        "End or wait for what holds the lock, then run this again.",
    )
