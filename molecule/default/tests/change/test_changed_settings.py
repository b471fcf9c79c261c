"""A setting is changed in the inventory: just that changes, and nobody who is served notices.

The tests are steps of one story, in this order: a setting of the service, one of PostgreSQL that needs a restart, and
both back again.
"""

from __future__ import annotations

import pytest

from shared.landscape import Landscape
from shared.load import UnderLoad
from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.sql import Endpoints
from shared.traffic import Requests, Transactions
from shared.web import Web

SETTING = "max_locks_per_transaction"
RENDER_POSTGRESQL = "postgresql : configure | Render the configuration"
RUN_POSTGRESQL = "postgresql : service | Run PostgreSQL with the configuration on disk"
SWITCH = "haproxy : switch | Do the phase on every proxy"
# A change of the service's settings goes out through the idle colour: no package, no other role's file, no migration.
ACTIVATION = [
    "api : ready | Start the colour and wait until it is ready",
    SWITCH,
    "api : promote | Make the colour the one that serves",
    SWITCH,
    "deploy : record | Write down which pair serves now",
    SWITCH,
    "haproxy : switch | Let every proxy take in its configuration",
    "api : stop | Stop the colour",
]


@pytest.fixture(scope="module")
def environment(landscape: Landscape) -> dict[str, object]:
    """The service's environment with one setting changed."""
    return {**landscape.variables["api_environment"], "ENVIRONMENT": "staging"}


def test_one_changed_setting_of_the_service_changes_just_that_and_no_request_fails(
    playbook: Playbook, product: Product, web: Web, environment: dict[str, object]
) -> None:
    colour, release = product.colour, product.release
    with Requests(web) as requests:
        run = playbook.must(api_environment=environment)
    assert run.changed == ACTIVATION
    assert requests.failures == []
    assert requests.answered > 0
    assert (product.colour, product.release) == ({"blue": "green", "green": "blue"}[colour], release)
    assert web.get("/health").json["environment"] == "staging"


def test_a_setting_that_needs_a_restart_is_made_behind_pause_and_no_transaction_fails(
    playbook: Playbook, sql: Endpoints, database: Machine, under_load: UnderLoad
) -> None:
    started = sql.superuser("SELECT pg_postmaster_start_time()")
    with under_load("PostgreSQL restarts for a setting"), Transactions(sql.pooled("app")) as transactions:
        run = playbook.must("playbooks/provision.yml", postgresql_settings={SETTING: 128})
    assert run.changed == [RENDER_POSTGRESQL, RUN_POSTGRESQL]
    assert f"PostgreSQL restarts for {SETTING}" in run.output
    assert transactions.failures == []
    assert transactions.done > 0
    assert sql.superuser(f"SHOW {SETTING}") == "128"
    assert sql.superuser("SELECT pg_postmaster_start_time()") != started
    assert "PAUSE command issued" in database.journal("pgbouncer", lines=300)


def test_both_settings_go_back_when_the_inventory_does(playbook: Playbook, sql: Endpoints, web: Web) -> None:
    with Requests(web) as requests, Transactions(sql.pooled("app")) as transactions:
        run = playbook.must()
    assert run.changed == [RENDER_POSTGRESQL, RUN_POSTGRESQL, *ACTIVATION]
    assert (transactions.failures, requests.failures) == ([], [])
    assert sql.superuser(f"SHOW {SETTING}") == "64"
    assert web.get("/health").json["environment"] == "production"
