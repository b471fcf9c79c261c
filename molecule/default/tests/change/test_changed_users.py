"""What the users of the pool may, and for how long, is changed in the inventory; one of the runs is killed.

The tests are steps of one story, in this order.
"""

from __future__ import annotations

import pytest

from shared.landscape import Landscape
from shared.playbook import Playbook
from shared.sql import Endpoints, SqlError
from shared.traffic import Transactions

PROVISION = "playbooks/provision.yml"
ACCESS = "postgresql : access | Make roles, database, extensions and privileges"
LOOKUP = "pgbouncer : configure | Let the pooler look up who may log in"
SETTINGS = "pgbouncer : service | Let pooled sessions take in their users' settings"


def test_pooled_sessions_take_in_a_limit_whose_run_was_killed_before_they_did(
    playbook: Playbook, sql: Endpoints
) -> None:
    app = sql.pooled("app")
    assert app("SHOW statement_timeout") == "30s"
    playbook.kill_at(SETTINGS, PROVISION, postgresql_app_statement_timeout="29s")
    assert sql.beside("app")("SHOW statement_timeout") == "29s"
    with Transactions(app) as transactions:
        run = playbook.must(PROVISION, postgresql_app_statement_timeout="29s")
    assert run.changed == [SETTINGS]
    assert transactions.failures == []
    assert {app("SHOW statement_timeout") for _ in range(5)} == {"29s"}


def test_user_who_is_added_to_the_pool_comes_in_and_the_limit_goes_back(
    playbook: Playbook, sql: Endpoints, landscape: Landscape
) -> None:
    users = [landscape.value(f"bundle_{role}_user") for role in ("app", "readonly")]
    run = playbook.must(PROVISION, pgbouncer_pooled_users=users)
    assert run.changed == [ACCESS, LOOKUP, SETTINGS]
    assert sql.pooled("readonly")("SELECT 1") == "1"
    assert sql.pooled("app")("SHOW statement_timeout") == "30s"


def test_user_who_is_taken_out_of_the_pool_is_refused_by_it(playbook: Playbook, sql: Endpoints) -> None:
    assert playbook.must(PROVISION).changed == [LOOKUP, SETTINGS]
    with pytest.raises(SqlError, match="no such user"):
        sql.pooled("readonly")("SELECT 1")
