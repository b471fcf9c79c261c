"""What role api writes for schedules: units that systemd takes, cron's lines, and the command that starts a unit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Render = Callable[..., str]
SECRET = "Vq7pL2xTz9dKc4m"
SCHEDULES = [
    {
        "name": "sessions",
        "arguments": "-m app.cli housekeeping sessions",
        "minute": "0",
        "hour": "3",
        "time_limit": 60,
    },
    {
        "name": "expired-jobs",
        "arguments": "-m app.cli tidy --all",
        "minute": "*/10",
        "hour": "*",
        "time_limit": 300,
    },
]
INVENTORY: dict[str, Any] = {
    "bundle_name": "shop",
    "bundle_address": "10.1.0.20",
    "bundle_colour_ports": {"blue": 8001, "green": 8002},
    "bundle_ready_path": "/health/ready",
    "bundle_addresses_of_haproxy": ["10.1.0.30"],
    "bundle_pooled_url": f"postgresql+psycopg://app:{SECRET}@10.1.0.10:6432/shop",
    "api_release": "0123456789ab",
    "api_environment": {"KEY": SECRET},
    "api_schedules": SCHEDULES,
    # Where Ansible looks for the templates that a variable names.
    "ansible_search_path": [str(ROOT / "roles/api")],
}
# Not of the service: those that only a service or only a job has.
OWN = (
    "Type",
    "ExecStart",
    "Restart",
    "TimeoutSt",
    "KillMode=",
    "Runtime",
    "LimitNOFILE",
    "Description",
    "WantedBy",
    "Environment=",
)


@pytest.fixture
def files(value: Callable[..., Any]) -> Callable[..., dict[str, dict[str, str]]]:
    """Return `files(**variables)`: what the role hands to config_files, by path."""

    def made(**variables: Any) -> dict[str, dict[str, str]]:
        found = value("api", "__api_schedule_files", **(INVENTORY | variables))
        return {each["path"]: each for each in found}

    return made


def unit_of(files: Callable[..., dict[str, dict[str, str]]], name: str, **variables: Any) -> str:
    return files(**variables)[f"/etc/systemd/system/shop-job-{name}@.service"]["content"]


def test_there_is_a_unit_for_each_schedule_the_command_and_the_table(files: Any) -> None:
    assert {path: file.get("mode") for path, file in files().items()} == {
        "/etc/systemd/system/shop-job-sessions@.service": None,
        "/etc/systemd/system/shop-job-expired-jobs@.service": None,
        "/usr/local/bin/shop-job": "0755",
        "/etc/cron.d/shop": None,
    }


def test_without_schedules_there_is_no_unit_and_an_empty_table(files: Any) -> None:
    found = files(api_schedules=[])
    assert {*found} == {"/usr/local/bin/shop-job", "/etc/cron.d/shop"}
    assert "root" not in found["/etc/cron.d/shop"]["content"]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: str(schedule["name"]))
@pytest.mark.parametrize("colour", ["blue", "green"])
def test_systemd_takes_the_unit(files: Any, tmp_path: Path, colour: str, schedule: dict[str, Any]) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "these tests need systemd-analyze: apt-get install systemd"
    root = tmp_path / "srv"
    program = root / colour / "venv/bin/python"
    program.parent.mkdir(parents=True)
    program.symlink_to("/bin/true")
    template = f"shop-job-{schedule['name']}@.service"
    (tmp_path / template).write_text(
        unit_of(files, schedule["name"], api_root=str(root), api_writable_paths=["/var/lib/shop"])
    )
    unit = tmp_path / template.replace("@", f"@{colour}")
    unit.symlink_to(template)
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(unit)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "shop-job" in line]) == (0, [])


def test_unit_runs_what_the_schedule_says_for_as_long_as_it_says(files: Any) -> None:
    unit = unit_of(files, "expired-jobs")
    assert "ExecStart=/srv/shop/%i/venv/bin/python -m app.cli tidy --all\n" in unit
    assert "TimeoutStartSec=300\n" in unit
    assert "Type=oneshot\n" in unit


def test_unit_may_do_no_more_than_the_service(files: Any, render: Render) -> None:
    def lines(unit: str) -> set[str]:
        return {line for line in unit.splitlines() if "=" in line and not line.startswith(OWN)}

    writable = {"api_writable_paths": ["/var/lib/shop"]}
    service = lines(render("api", "api@.service.j2", **INVENTORY, **writable))
    assert lines(unit_of(files, "sessions", **writable)) == service
    assert len(service) > 15


def test_cron_starts_each_schedule_at_its_time(files: Any) -> None:
    table = files()["/etc/cron.d/shop"]["content"].splitlines()
    assert [line for line in table if line and line[0] not in "#M"] == [
        "0 3 * * * root /usr/local/bin/shop-job sessions",
        "*/10 * * * * root /usr/local/bin/shop-job expired-jobs",
    ]


def test_cron_reads_a_file_of_that_name_to_its_last_line(files: Any) -> None:
    (path,) = [path for path in files() if "cron.d" in path]
    assert re.fullmatch(r"[A-Za-z0-9_-]+", Path(path).name)
    assert files()[path]["content"].endswith("\n")


@pytest.mark.parametrize(
    "path", ["/usr/local/bin/shop-job", "/etc/systemd/system/shop-job-sessions@.service"]
)
def test_no_secret_is_in_what_everybody_may_read(files: Any, path: str) -> None:
    assert SECRET not in files()[path]["content"]
    assert "DATABASE_URL" not in files()[path]["content"]


def run_job(files: Any, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = directory / "shop-job"
    script.write_text(files(api_root=str(directory))["/usr/local/bin/shop-job"]["content"])
    return subprocess.run(["sh", script, *arguments], check=False, capture_output=True, text=True)


def test_command_says_when_nothing_is_live(files: Any, tmp_path: Path) -> None:
    done = run_job(files, tmp_path, "sessions")
    assert done.returncode == 1
    assert "shop-job: no release is live on this host yet" in done.stderr


def test_command_without_a_schedule_asks_which(files: Any, tmp_path: Path) -> None:
    done = run_job(files, tmp_path)
    assert done.returncode != 0
    assert "which schedule?" in done.stderr
