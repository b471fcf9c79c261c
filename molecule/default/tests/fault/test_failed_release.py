"""A release that cannot serve is refused: the one before it serves throughout, and the message says what to do."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.load import UnderLoad
from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product, changed_release
from shared.sql import Endpoints
from shared.traffic import Requests
from shared.web import Web

READY_SECONDS = 8
MIGRATION = '''"""Fail after a change."""
from alembic import op

revision = "f0f0f0f0f0f0"
down_revision = "{head}"
branch_labels = depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE half_done (id integer)")
    op.execute("SELECT 1 / 0")


def downgrade() -> None:
    op.execute("DROP TABLE half_done")
'''

Release = Callable[[str, str], dict[str, Any]]


@pytest.fixture
def release_with(tmp_path: Path) -> Release:
    """The variables that name a release with one file more, or another one."""
    return functools.partial(changed_release, tmp_path)


def last_deployment(api: Machine) -> dict[str, object]:
    """The last line of the deployment log."""
    found: dict[str, object] = json.loads(api.sh("tail -n 1 /var/log/intowork/deployments.jsonl"))
    return found


def test_release_that_never_becomes_ready_is_refused_while_the_old_one_serves(
    playbook: Playbook, product: Product, api: Machine, release_with: Release, under_load: UnderLoad
) -> None:
    before = product.state()
    broken = release_with("app/main.py", 'raise RuntimeError("this release cannot start")\n')
    with under_load("a release that fails its health check is refused"):
        run = playbook.run("playbooks/deploy.yml", api_ready_timeout=READY_SECONDS, **broken)
    assert run.status != 0
    assert "this release cannot start" in run.output
    assert f"Release {before['release']} still serves" in run.output
    assert product.state() == before
    assert api.sh(f"systemctl is-active {product.unit(product.idle_colour)}", ok=(3, 4)) == "inactive"
    assert last_deployment(api)["outcome"] == "failed"


def test_migration_that_fails_in_the_middle_leaves_the_schema_and_the_old_release(
    playbook: Playbook, product: Product, web: Web, sql: Endpoints, release_with: Release
) -> None:
    before = product.state()
    head = sql.superuser("SELECT version_num FROM alembic_version")
    broken = release_with("alembic/versions/f0f0f0f0f0f0_half.py", MIGRATION.format(head=head))
    with Requests(web) as requests:
        run = playbook.run("playbooks/deploy.yml", **broken)
    assert run.status != 0
    assert "division by zero" in run.output
    assert "f0f0f0f0f0f0" in run.output
    assert f"Release {before['release']} still serves" in run.output
    assert requests.failures == []
    assert product.state() == before
    assert sql.superuser("SELECT version_num FROM alembic_version") == head
    assert sql.superuser("SELECT to_regclass('half_done') IS NULL") == "t"


def test_the_next_run_with_the_good_release_changes_nothing(playbook: Playbook) -> None:
    assert playbook.must().changes == 0
