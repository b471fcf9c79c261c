"""A command that could not make the first rows of an empty database gets another try, until it could. One story."""

from __future__ import annotations

import pytest

from shared.landscape import Landscape
from shared.machine import Machine
from shared.playbook import Playbook
from shared.sql import Endpoints
from shared.web import Web

DEPLOY = "playbooks/deploy.yml"
DUE = "/srv/shop/first-rows-due"


@pytest.fixture(scope="module")
def nothing(api: Machine, sql: Endpoints) -> None:
    """A host that has served nothing yet, and a database that is empty."""
    api.sh(
        "systemctl disable --now shop-api@blue shop-api@green; rm /srv/shop/current /srv/shop/record.json",
        timeout=60,
    )
    tables = sql.superuser("SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public'")
    sql.superuser(f"DROP TABLE {tables}")


def test_a_command_that_fails_ends_the_deploy_with_what_it_said(
    playbook: Playbook, api: Machine, nothing: None
) -> None:
    run = playbook.run(DEPLOY, api_environment={"SHOP_CURRENCY": "EUR", "SHOP_PICTURES": "pictures"})
    assert run.status != 0
    assert "the command that makes its first rows failed (bundle_bootstrap_command)" in run.output
    assert "KeyError: 'SHOP_COUNTER_KEY'" in run.output
    assert api.host.file(DUE).exists
    assert api.sh("systemctl is-active shop-api@blue shop-api@green", ok=(3,)).split() == ["inactive"] * 2


def test_its_settings_are_left_nowhere(api: Machine, landscape: Landscape) -> None:
    assert not api.host.file("/etc/shop/bootstrap.env").exists


def test_the_next_deploy_makes_the_rows_although_the_schema_is_there_already(
    playbook: Playbook, api: Machine, web: Web
) -> None:
    playbook.must(DEPLOY)
    assert web.get("/status").json["articles"] == 3
    assert not api.host.file(DUE).exists
