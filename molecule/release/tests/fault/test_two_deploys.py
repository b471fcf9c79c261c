"""Two people deploy at once: one of them goes through, and the other one is told who it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.load import UnderLoad
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Change, Newer
from shared.sql import Endpoints
from shared.wait import until

DEPLOY = "playbooks/deploy.yml"
# It goes on once the table `go_on` is there, which tells the test from a slow machine.
WAIT = """
while not op.get_bind().execute(sa.text("SELECT FROM pg_class WHERE relname = 'go_on'")).all():
    op.execute("SELECT pg_sleep(0.1)")"""
WAITS = "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'intowork_migrator' AND query LIKE '%pg_sleep(0.1)%'"
PLAIN = 'op.execute("CREATE TABLE {name} (id integer)")'
CONCURRENTLY = (
    "with op.get_context().autocommit_block():\n"
    '    op.execute("CREATE INDEX CONCURRENTLY {name} ON users (created_at)")'
)


@pytest.mark.parametrize("statement", [PLAIN, CONCURRENTLY], ids=["plain", "concurrently"])
def test_the_second_of_two_deploys_is_told_who_is_at_it_and_the_first_goes_through(
    statement: str,
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    newer: Newer,
    under_load: UnderLoad,
    request: pytest.FixtureRequest,
) -> None:
    kind = request.node.callspec.id
    number = 1 + ["plain", "concurrently"].index(kind)
    first = newer(
        f"first-{kind}", Change(f"fa140000000{number}", statement.format(name=f"first_{kind}") + WAIT)
    )
    second = newer(f"second-{kind}", Change(f"fa150000000{number}", statement.format(name=f"second_{kind}")))
    before = product.release
    with under_load(f"two deploys at once, {kind}"), ThreadPoolExecutor() as beside:
        going_on = beside.submit(playbook.run, DEPLOY, **first)
        try:
            until(lambda: sql.superuser(WAITS) == "t", seconds=120, what="the first deploy's migration")
            refused = playbook.run(DEPLOY, **second)
            assert product.release == before
        finally:
            sql.superuser("CREATE TABLE go_on ()")
        done = going_on.result()
    sql.superuser("DROP TABLE go_on")
    refused.says(
        "Another run holds /srv/intowork/deploy.lock", "deploying release", "Wait until it has ended."
    )
    assert done.status == 0, done.output[-6000:]
    assert product.manifest["ref"] == f"first-{kind}"
    assert product.record["pair"]["revision"] == f"fa140000000{number}"
    assert sql.superuser(f"SELECT to_regclass('second_{kind}') IS NULL") == "t"
