"""The database goes back: by the playbook and by the host's own command, again and again.

The first tests are steps of one story, in this order.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared.machine import Machine
from shared.playbook import Playbook, Run
from shared.restores import Restores
from shared.sql import Endpoints, SqlError
from shared.traffic import Requests, Transactions
from shared.wait import until
from shared.web import Web

RESTORE = "playbooks/restore.yml"
SHOW = "backup : restore_prepare | Show what is there"
SWITCH = "backup : restore_switch | Show how it ended"


class Story:
    """What is known from one step to the next."""

    dropped_at = ""
    stored: dict[str, str]
    run: Run
    requests: Requests
    transactions: Transactions
    timeline = 0
    backups_before = 0


def full_backups(database: Machine) -> int:
    """How many full backups the repository has."""
    return int(database.sh("runuser -u postgres -- pgbackrest info | grep -c 'full backup'"))


@pytest.fixture(scope="module")
def story() -> Story:
    """The story."""
    return Story()


@pytest.fixture(scope="module")
def switched(
    backups: Restores, database: Machine, playbook: Playbook, sql: Endpoints, web: Web, story: Story
) -> Run:
    """A table is dropped and brought back, while clients work on through the pooler and the front door."""
    migrator, app = sql.beside("migrator"), sql.pooled("app")
    migrator(
        "DROP TABLE IF EXISTS precious, after_it",
        "CREATE TABLE precious (id int PRIMARY KEY)",
        "GRANT SELECT, INSERT ON precious TO intowork_app",
    )
    app("INSERT INTO precious VALUES (1), (2)")
    story.dropped_at = backups.moment()
    migrator("DROP TABLE precious", "CREATE TABLE after_it ()")
    story.backups_before = full_backups(database)
    story.stored, story.timeline = backups.stored(), backups.timeline()
    with Requests(web) as story.requests, Transactions(app) as story.transactions:
        story.run = playbook.must(RESTORE, restore_target=story.dropped_at, restore_confirm=True)
    return story.run


def test_check_mode_says_what_would_be_restored_and_restores_nothing(
    backups: Restores, playbook: Playbook, untouched: None
) -> None:
    run = playbook.must(RESTORE, "--check", restore_target="latest")
    assert "would restore" in run.said_by(SHOW)
    assert "into /var/lib/postgresql/15/main.restored" in run.said_by(SHOW)


def test_dropped_table_is_shown_before_the_switch(switched: Run) -> None:
    shown = [line.split() for line in switched.said_by(SHOW).splitlines() if "public." in line]
    assert ["public.precious", "2", "–", "comes", "back"] in shown
    assert ["public.after_it", "–", "0", "goes"] in shown


def test_dropped_table_is_back_with_the_rows_from_just_before(switched: Run, sql: Endpoints) -> None:
    assert sql.pooled("app")("SELECT id FROM precious ORDER BY id") == "1\n2"


def test_what_came_after_the_moment_is_not_there(switched: Run, sql: Endpoints) -> None:
    with pytest.raises(SqlError) as refused:
        sql.pooled("app")("SELECT 1 FROM after_it")
    assert refused.value.sqlstate == "42P01"


def test_clients_of_the_pooler_wait_and_none_fails(switched: Run, story: Story) -> None:
    assert story.transactions.failures == []
    assert story.transactions.done > 0


def test_no_request_fails_during_a_restore(switched: Run, story: Story) -> None:
    assert story.requests.failures == []
    assert story.requests.answered > 0


def test_what_was_in_the_repository_is_as_it_was(switched: Run, story: Story, backups: Restores) -> None:
    assert story.stored.items() <= backups.stored().items()


def test_cluster_before_the_switch_is_kept(switched: Run, database: Machine) -> None:
    found = re.search(r"the cluster before is in (\S+)", switched.said_by(SWITCH))
    assert found
    kept = found[1]
    control = database.sh(f"/usr/lib/postgresql/15/bin/pg_controldata {kept}")
    assert "shut down" in control


def test_archiving_works_on_the_new_timeline(
    switched: Run, backups: Restores, database: Machine, story: Story
) -> None:
    assert backups.timeline() == story.timeline + 1
    assert f"the newest segment is {story.timeline + 1:08X}" in database.sh("bundle-archive-status")


def test_full_backup_follows_the_switch(switched: Run, database: Machine, story: Story) -> None:
    assert full_backups(database) == story.backups_before + 1


def test_nothing_waits_after_the_switch(switched: Run, backups: Restores) -> None:
    assert "no restore is under way" in backups.restore("show")["findings"][0]["message"]
    assert "main.restored" not in backups.places()


def test_second_run_of_site_yml_finds_nothing_to_do(switched: Run, playbook: Playbook) -> None:
    assert playbook.must("playbooks/provision.yml", "--tags=postgresql,pgbouncer,backup").changes == 0


def test_moment_after_the_first_restore_is_reached_by_the_second(
    switched: Run, backups: Restores, sql: Endpoints
) -> None:
    app, timeline = sql.pooled("app"), backups.timeline()
    app("INSERT INTO precious VALUES (3)")
    moment = backups.moment()
    app("INSERT INTO precious VALUES (4)")
    backups.restore("prepare", "--time", moment)
    backups.restore("switch")
    assert app("SELECT id FROM precious ORDER BY id") == "1\n2\n3"
    assert backups.timeline() == timeline + 1


def test_restore_point_is_gone_back_to_by_its_name(backups: Restores, sql: Endpoints) -> None:
    app = sql.pooled("app")
    backups.restore("point", "before the import")
    app("INSERT INTO precious VALUES (5)")
    backups.restore("prepare", "--name", "before the import")
    backups.restore("switch")
    assert app("SELECT count(*) FROM precious WHERE id = 5") == "0"


def test_lost_cluster_comes_back_with_all_that_was_archived(
    backups: Restores, database: Machine, sql: Endpoints
) -> None:
    sql.pooled("app")("INSERT INTO precious VALUES (6)")
    # It goes into the archive with the stop.
    database.sh("systemctl stop postgresql@15-main && rm -rf /var/lib/postgresql/15/main/*")
    backups.restore("prepare", "--latest")
    backups.restore("switch")
    assert sql.pooled("app")("SELECT count(*) FROM precious WHERE id = 6") == "1"


def test_rows_of_a_table_come_back_from_the_dump(
    backups: Restores, database: Machine, playbook: Playbook, sql: Endpoints
) -> None:
    backups.back_up("dump")
    sql.beside("migrator")("DELETE FROM precious WHERE id < 3")
    said = playbook.must(RESTORE, restore_table="precious").said_by(SHOW)
    (command,) = [line for line in said.splitlines() if "to bring rows of public.precious back: " in line]
    database.sh(command.partition("back: ")[2])
    assert sql.pooled("app")("SELECT count(*) FROM precious WHERE id < 3") == "2"


OPEN = {
    # Through the pooler, which waits for it; and past it, as from a pooler of another host.
    "pooled": "PAUSE of pgbouncer.service did not end within 2 s, and clients go on",
    "direct": "transactions that no pooler of this host holds stayed open for 2 s, and clients go on",
}


@pytest.fixture(scope="module", params=OPEN)
def held(request: pytest.FixtureRequest, backups: Restores, database: Machine, sql: Endpoints) -> str:
    """A restore waits, and somebody keeps a transaction open; what the refusal says to that."""
    backups.restore("prepare", "--latest")
    app = sql.pooled("app") if request.param == "pooled" else sql.beside("app")
    database.sh(
        f"PGPASSWORD='{app.password}' setsid timeout 100 psql '{app.conninfo}' -XAtq "
        "-c 'BEGIN; SELECT 1 AS kept_open; SELECT pg_sleep(100)' </dev/null >/dev/null 2>&1 &"
    )
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN%kept_open%'"
    until(lambda: sql.superuser(asked) == "1", seconds=20, what="an open transaction")
    return OPEN[request.param]


def test_switch_gives_up_when_a_transaction_stays_open_and_clients_go_on(
    held: str, backups: Restores, sql: Endpoints
) -> None:
    timeline = backups.timeline()
    refused = backups.refusal("switch", "--wait", "2")
    assert held in refused
    assert "kept_open" in refused
    assert backups.timeline() == timeline
    assert sql.pooled("app")("SELECT 1") == "1"


def test_switch_ends_the_transaction_that_stays_open_when_it_is_told_to(
    held: str, backups: Restores, sql: Endpoints
) -> None:
    timeline = backups.timeline()
    backups.restore("switch", "--wait", "2", "--end-sessions")
    assert backups.timeline() == timeline + 1
    assert sql.pooled("app")("SELECT 1") == "1"


BAD = [
    pytest.param(
        {"restore_target": "2036-01-06 12:00:00+00"}, "is in the future; what can be restored", id="future"
    ),
    pytest.param(
        {"restore_target": "2016-01-06 12:00:00+00"}, "before the end of the first backup; what", id="past"
    ),
    pytest.param({"restore_target": "2016-01-06 12:00:00"}, "has no zone: write it", id="no_zone"),
    pytest.param(
        {"restore_name": "unheard of"}, "the newest that were: before the import (", id="restore_point"
    ),
    pytest.param({"restore_xid": "4000000000"}, "has not been yet", id="transaction"),
    pytest.param({"restore_table": "unheard_of"}, "unheard_of: not in intowork_", id="table"),
    pytest.param(
        {"restore_xid": "754", "restore_name": "n"}, "give exactly one of restore_target", id="two_targets"
    ),
]


@pytest.mark.parametrize(("given", "said"), BAD)
def test_target_that_cannot_be_is_refused_and_nothing_is_touched(
    playbook: Playbook, untouched: None, given: dict[str, Any], said: str
) -> None:
    run = playbook.run(RESTORE, restore_confirm=True, **given)
    assert run.status == 2
    assert said in run.output
    assert run.changes == 0


def test_without_a_yes_it_stops_before_the_switch(playbook: Playbook, backups: Restores) -> None:
    timeline = backups.timeline()
    run = playbook.run(RESTORE, restore_target="latest")
    assert run.status == 2
    assert "run the same again with -e restore_confirm=yes" in run.output
    assert backups.timeline() == timeline
    backups.restore("discard")
