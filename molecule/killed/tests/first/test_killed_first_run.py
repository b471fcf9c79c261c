"""The first run on a bare host is killed at one kind of task after the other; the next run always finishes it.

The tests are steps of one story, in this order. Where a task takes long, the host loses its power in the middle of it;
elsewhere the controller is killed (SIGKILL) as soon as the task has changed something, each time further on.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.landscape import Landscape
from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product, changed_release
from shared.wait import until
from shared.web import Web

PROVISION, DEPLOY = "playbooks/provision.yml", "playbooks/deploy.yml"
# Playbook, task, and a script that says on the host that the middle of it is reached.
PACKAGES = (
    PROVISION,
    "base : install | Install the packages of every role in one transaction",
    "test -e /usr/sbin/policy-rc.d && ls /var/lib/dpkg/info/postgresql-15.list",
)
CLUSTER = (
    PROVISION,
    "postgresql : configure | Make the cluster, with data checksums",
    "test -e /var/lib/postgresql/15/main/PG_VERSION",
)
STAGING = (
    DEPLOY,
    "release : stage | Unpack it and make its virtual environment",
    "ls -d /srv/*/releases/*/venv",
)
MIGRATIONS = (
    DEPLOY,
    "migration : upgrade | Bring the schema to head",
    "psql -U postgres -h /var/run/postgresql -d intowork -c 'SELECT 1 FROM alembic_version'",
)
# One of each kind, in order: killed at each of the first run's 35 changes the story would take twice as long.
FILES = "base : configure | Bound the journal, name the time servers and write the firewall"
PROVISIONING = [
    "postgresql : configure | Render the configuration",
    "postgresql : service | Run PostgreSQL with the configuration on disk",
    "postgresql : access | Make roles, database, extensions and privileges",
    "pgbouncer : service | Run pgBouncer with the configuration on disk",
    "haproxy : service | Run HAProxy with the configuration on disk",
]
DEPLOYING = [
    "api : ready | Start the colour and wait until it is ready",
    "haproxy : switch | Do the phase on every proxy",
    "api : promote | Make the colour the one that serves",
    "deploy : record | Write down which pair serves now",
]
# In place of the first migration: nothing of the schema is there when it fails.
BROKEN = '''"""Fail at once."""
from alembic import op

revision = "a1d5f9b8c7e6"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SELECT 1 / 0")


def downgrade() -> None:
    pass
'''


@pytest.fixture
def machine(landscape: Landscape) -> Machine:
    """The host."""
    return landscape.first("database")


def cut_power(
    place: tuple[str, str, str], playbook: Playbook, landscape: Landscape, machine: Machine
) -> None:
    """Run a playbook until the middle of a task; then controller and host are gone at once, and the host boots."""
    name, task, script = place
    playbook.kill_at(task, name, once=lambda: machine.host.run(script).rc == 0)
    landscape.testbed("power-cut", machine.name)
    landscape.testbed("start", machine.name)


def test_power_is_cut_while_packages_are_set_up(
    playbook: Playbook, landscape: Landscape, machine: Machine
) -> None:
    cut_power(PACKAGES, playbook, landscape, machine)
    assert machine.sh("dpkg --audit") != ""


def test_controller_is_killed_when_packages_are_finished_and_files_written(
    playbook: Playbook, machine: Machine
) -> None:
    playbook.kill_after_change(FILES, PROVISION)
    assert machine.sh("dpkg --audit") == ""
    assert machine.sh("ls /usr/sbin/policy-rc.d 2>/dev/null", ok=(2,)) == ""


def test_power_is_cut_while_the_cluster_is_made(
    playbook: Playbook, landscape: Landscape, machine: Machine
) -> None:
    cut_power(CLUSTER, playbook, landscape, machine)


@pytest.mark.parametrize("task", PROVISIONING)
def test_controller_is_killed_after_a_change_of_provisioning(playbook: Playbook, task: str) -> None:
    playbook.kill_after_change(task, PROVISION)


def test_the_next_run_provisions_the_host(playbook: Playbook) -> None:
    playbook.must(PROVISION)


def test_first_deploy_that_fails_says_that_nothing_serves_yet(
    playbook: Playbook, machine: Machine, web: Web, tmp_path: Path
) -> None:
    broken = changed_release(tmp_path, "alembic/versions/a1d5f9b8c7e6_users_and_sign_in.py", BROKEN)
    run = playbook.run(DEPLOY, **broken)
    assert run.status != 0
    assert "division by zero" in run.output
    assert f"This was the first deploy, so nothing serves on {machine.name} yet." in run.output
    assert web.get("/health").status == 503
    assert machine.sh("ls /srv/intowork/current /srv/intowork/deploy.lock 2>/dev/null", ok=(2,)) == ""


def test_power_is_cut_while_the_release_is_staged(
    playbook: Playbook, landscape: Landscape, machine: Machine
) -> None:
    cut_power(STAGING, playbook, landscape, machine)


def test_power_is_cut_between_two_migrations(
    playbook: Playbook, landscape: Landscape, machine: Machine
) -> None:
    cut_power(MIGRATIONS, playbook, landscape, machine)


@pytest.mark.parametrize("task", DEPLOYING)
def test_controller_is_killed_after_a_change_of_the_deploy(playbook: Playbook, task: str) -> None:
    playbook.kill_after_change(task, DEPLOY)


def test_one_whole_run_finishes_it_all(playbook: Playbook) -> None:
    playbook.must()


def test_the_run_after_that_changes_nothing(playbook: Playbook) -> None:
    run = playbook.must()
    assert (run.changed, run.changes) == ([], 0)


def test_the_service_answers_after_all(web: Web, product: Product) -> None:
    answer = until(lambda: web.get("/health/ready"), seconds=10, what="an answer")
    assert (answer.status, answer.json["release"]) == (200, product.release)
