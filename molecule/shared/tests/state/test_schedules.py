"""What the host does from time to time: cron starts units, and each of them does its work with the live release."""

from __future__ import annotations

import json

import pytest

from shared.product import Product

TIMES = {
    "sessions": "0 3 * * *",
    "notifications-archive": "30 3 * * *",
    "statistics": "*/10 * * * *",
    "expired-jobs": "*/10 * * * *",
}
each_schedule = pytest.mark.parametrize("schedule", TIMES)


def unit(product: Product, schedule: str) -> str:
    return f"{product.name}-job-{schedule}@{product.colour}.service"


def test_cron_runs_and_starts_at_boot(product: Product) -> None:
    product.machine.must_run("cron.service")


def test_cron_has_each_schedule_and_no_other(product: Product) -> None:
    table = product.machine.sh(f"grep '^[0-9*]' /etc/cron.d/{product.name}").splitlines()
    command = f"root /usr/local/bin/{product.name}-job"
    assert table == [f"{time} {command} {schedule}" for schedule, time in TIMES.items()]


@each_schedule
def test_schedule_does_its_work_with_the_live_release(product: Product, schedule: str) -> None:
    cursor = product.machine.sh("journalctl --lines 1 --show-cursor | tail -n 1").removeprefix("-- cursor: ")
    product.machine.sh(f"{product.name}-job {schedule}", timeout=120)
    journal = f"journalctl --unit {unit(product, schedule)} --after-cursor '{cursor}' --output cat"
    said = product.machine.sh(f"journalctl --sync; {journal}").splitlines()
    reports = [json.loads(line) for line in said if line.startswith("{")]
    assert [[*report] for report in reports] == [[schedule]], said
    assert any(line.endswith("Deactivated successfully.") for line in said), said


@each_schedule
def test_schedule_works_as_the_services_user_in_its_sandbox(product: Product, schedule: str) -> None:
    shown = product.machine.sh(
        f"systemctl show --property=User,ProtectSystem,NoNewPrivileges {unit(product, schedule)}"
    )
    assert {*shown.splitlines()} == {f"User={product.name}", "ProtectSystem=strict", "NoNewPrivileges=yes"}


def test_there_is_no_unit_of_another_schedule(product: Product) -> None:
    found = product.machine.sh(f"ls /etc/systemd/system | grep '^{product.name}-job-'").splitlines()
    assert {*found} == {f"{product.name}-job-{schedule}@.service" for schedule in TIMES}


def test_schedule_that_there_is_not_cannot_be_started(product: Product) -> None:
    said = product.machine.sh(f"{product.name}-job windows 2>&1", ok=(5,))
    assert f"{product.name}-job-windows@{product.colour}.service not found" in said
