"""The command that makes an empty database's first rows fails and is killed, and makes them once. One story."""

from __future__ import annotations

import shlex

import pytest

from shared.machine import Machine
from shared.playbook import Playbook
from shared.sql import Endpoints
from shared.wait import until
from shared.web import Web

DEPLOY = "playbooks/deploy.yml"
DUE, SETTINGS = "/srv/shop/first-rows-due", "/etc/shop/bootstrap.env"
MAKE = "api : bootstrap | Make the first rows of an empty database"
# Another command than the shop's: it commits the first of its rows, and then is as if it had more to do.
DROP_IN = "/run/systemd/system/shop-bootstrap@.service.d/half.conf"
HALF = """
import signal
from shop.database import Article, engine
from shop.settings import Settings
from sqlalchemy.orm import Session

with Session(engine(Settings.read().database)) as session, session.begin():
    session.add(Article(name="Pencil", cents=120))
signal.pause()
"""
# Somebody reads the articles and lets nobody write them.
READER = """systemd-run --quiet --unit reader --collect --property RuntimeMaxSec=60 --setenv PGAPPNAME=reader \
psql -U postgres -h /var/run/postgresql -d shop -c 'BEGIN; LOCK TABLE articles IN SHARE MODE; SELECT pg_sleep(60)'"""
HELD = (
    "SELECT count(*) FROM pg_locks WHERE relation = 'articles'::regclass AND mode = 'ShareLock' AND granted"
)
GIVE_IT_BACK = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reader'"
WAITS = "SELECT count(*) FROM pg_locks WHERE relation = 'articles'::regclass AND NOT granted"
# The module of a deploy whose controller is gone still waits for the unit on the host.
KILL_MODULE = """for waiting in $(pgrep -f '^systemctl start shop-bootstrap@'); do
kill -KILL $(ps -o ppid= -p $waiting) $waiting
done"""


@pytest.fixture(scope="module")
def nothing(api: Machine, sql: Endpoints) -> None:
    """A host that has served nothing yet, and a database that is empty."""
    api.sh(
        "systemctl disable --now shop-api@blue shop-api@green; rm /srv/shop/current /srv/shop/record.json",
        timeout=60,
    )
    tables = sql.superuser("SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public'")
    sql.superuser(f"DROP TABLE {tables}")


def articles(sql: Endpoints) -> str:
    """How many there are."""
    return sql.superuser("SELECT count(*) FROM articles")


def nothing_serves(api: Machine) -> bool:
    """Whether no colour runs, and none would after a reboot."""
    runs = api.sh("systemctl is-active shop-api@blue shop-api@green", ok=(3,)).split()
    return runs == ["inactive"] * 2 and not api.host.file("/srv/shop/current").exists


def test_a_command_that_fails_ends_the_deploy_with_what_it_said(
    playbook: Playbook, api: Machine, nothing: None
) -> None:
    run = playbook.run(DEPLOY, api_environment={"SHOP_CURRENCY": "EUR", "SHOP_PICTURES": "pictures"})
    run.says(
        "the command that makes its first rows failed (bundle_bootstrap_command)",
        "It left every table as it was, so the next deploy runs it again",
    )
    assert "KeyError: 'SHOP_COUNTER_KEY'" in run.output
    assert api.host.file(DUE).exists
    assert nothing_serves(api)


def test_a_command_that_is_killed_after_a_commit_is_not_run_again_on_what_it_left(
    playbook: Playbook, api: Machine, sql: Endpoints
) -> None:
    command = f"/srv/shop/releases/%i/venv/bin/python -c {shlex.quote(HALF)}".replace("\n", "\\n")
    unit = f"[Service]\nExecStart=\nExecStart={command}\n"
    api.sh(f"mkdir -p $(dirname {DROP_IN}); printf %s {shlex.quote(unit)} >{DROP_IN}")
    playbook.kill_at(MAKE, DEPLOY, once=lambda: articles(sql) == "1")
    api.sh(f"systemctl kill --signal=KILL 'shop-bootstrap@*'; rm {DROP_IN}")
    run = playbook.run(DEPLOY)
    run.says(
        "was begun at",
        "and did not end well",
        "public.articles has 1 rows, and had 0",
        "nothing serves",
        f"If all rows are there: `rm {DUE}` on product1",
    )
    assert articles(sql) == "1"
    assert nothing_serves(api)


def test_a_command_that_outlives_the_deploy_makes_the_rows_once_what_was_left_is_taken_out(
    playbook: Playbook, api: Machine, database: Machine, sql: Endpoints
) -> None:
    sql.superuser("TRUNCATE articles RESTART IDENTITY CASCADE")
    database.sh(READER)
    try:
        until(lambda: sql.superuser(HELD) == "1", seconds=30, what="the lock of a reader")
        playbook.kill_at(MAKE, DEPLOY, once=lambda: sql.superuser(WAITS) == "1")
        api.sh(KILL_MODULE)
    finally:
        sql.superuser(GIVE_IT_BACK)
    until(lambda: not api.host.file(DUE).exists, seconds=30, what="the end of the command")
    assert articles(sql) == "3"
    assert not api.host.file(SETTINGS).exists


def test_the_next_deploy_serves_with_these_rows_and_makes_no_others(
    playbook: Playbook, api: Machine, web: Web
) -> None:
    playbook.must(DEPLOY)
    assert web.get("/status").json["articles"] == 3
    assert not api.host.file(DUE).exists
    assert not api.host.file(SETTINGS).exists
