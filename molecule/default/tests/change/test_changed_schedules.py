"""A schedule is taken out of the inventory: it is gone from the host, and comes back with the inventory.

The tests are steps of one story, in this order.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.landscape import Landscape
from shared.machine import Machine
from shared.playbook import Playbook

RENDER = "api : schedule | Render a unit for each schedule, what starts it, and when"
REMOVED = "statistics"


@pytest.fixture
def schedules(landscape: Landscape) -> list[dict[str, Any]]:
    """The inventory's schedules without one."""
    every: list[dict[str, Any]] = landscape.variables["api_schedules"]
    return [schedule for schedule in every if schedule["name"] != REMOVED]


def traces(api: Machine) -> str:
    """Where the host names the schedule that was removed."""
    return api.sh(f"grep -rlE 'job-{REMOVED}|job {REMOVED}' /etc/cron.d /etc/systemd/system", ok=(0, 1))


def test_check_mode_says_that_a_schedule_would_go_and_leaves_it(
    playbook: Playbook, api: Machine, schedules: list[dict[str, Any]]
) -> None:
    run = playbook.run("playbooks/provision.yml", "--check", "--diff", api_schedules=schedules)
    assert (run.status, run.changed) == (0, [RENDER]), run.output[-6000:]
    assert f"job-{REMOVED}@.service" in run.output
    assert traces(api) != ""


def test_schedule_that_is_not_in_the_inventory_any_more_is_gone(
    playbook: Playbook, api: Machine, schedules: list[dict[str, Any]]
) -> None:
    run = playbook.must("playbooks/provision.yml", api_schedules=schedules)
    assert run.changed == [RENDER]
    assert traces(api) == ""
    assert api.sh(f"test ! -e /etc/systemd/system/intowork-job-{REMOVED}@.service && echo gone") == "gone"


def test_schedule_is_back_when_the_inventory_has_it_again(playbook: Playbook, api: Machine) -> None:
    assert playbook.must("playbooks/provision.yml").changed == [RENDER]
    assert traces(api) != ""
