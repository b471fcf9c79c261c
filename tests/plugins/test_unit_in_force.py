"""What unit_in_force decides from what systemd says and when the files changed; systemd itself is tested on hosts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unit_in_force import decide, newest_change, parse_show, parse_timestamp, unknown_drop_ins

NEVER = float("-inf")
START, RELOAD = 1_790_000_000.5, 1_790_000_100.25
RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
    "ActiveEnterTimestamp": "Mon 2026-09-21 14:13:20.500000 UTC",
    "StateChangeTimestamp": "Mon 2026-09-21 14:15:00.250000 UTC",
}


def verbs(
    *,
    state: str = "started",
    enabled: bool = True,
    reload_change: float = NEVER,
    restart_change: float = NEVER,
    **show: str,
) -> list[str]:
    found: list[str] = decide(
        RUNNING | show,
        state=state,
        enabled=enabled,
        reload_change=reload_change,
        restart_change=restart_change,
    )
    return found


def test_running_unit_with_older_files_is_left_alone() -> None:
    assert verbs(reload_change=START - 1, restart_change=START - 1) == []


@pytest.mark.parametrize("state", ["inactive", "failed", "deactivating", "maintenance"])
def test_unit_that_does_not_run_is_started(state: str) -> None:
    assert verbs(ActiveState=state, reload_change=RELOAD + 1, restart_change=RELOAD + 1) == ["start"]


@pytest.mark.parametrize("state", ["active", "reloading", "activating"])
def test_unit_that_runs_or_starts_is_stopped(state: str) -> None:
    assert verbs(state="stopped", ActiveState=state, restart_change=RELOAD + 1) == ["stop"]


@pytest.mark.parametrize("state", ["inactive", "failed", "deactivating"])
def test_unit_that_does_not_run_is_not_stopped_again(state: str) -> None:
    assert verbs(state="stopped", ActiveState=state) == []


def test_unit_that_is_to_begin_anew_restarts_whatever_its_files_say() -> None:
    assert verbs(state="restarted", reload_change=START - 1, restart_change=START - 1) == ["restart"]


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_unit_that_is_to_begin_anew_and_does_not_run_is_started(state: str) -> None:
    assert verbs(state="restarted", ActiveState=state) == ["start"]


def test_file_for_a_restart_that_is_newer_than_the_start_restarts() -> None:
    assert verbs(restart_change=START + 0.1) == ["restart"]


def test_reload_since_then_does_not_take_in_a_file_for_a_restart() -> None:
    assert verbs(restart_change=RELOAD - 1) == ["restart"]


def test_file_that_changed_at_the_start_was_read_by_it() -> None:
    assert verbs(restart_change=START, reload_change=RELOAD) == []


def test_file_for_a_reload_that_is_newer_than_the_last_one_reloads() -> None:
    assert verbs(reload_change=RELOAD + 0.1) == ["reload"]


def test_file_that_the_last_reload_took_in_needs_none() -> None:
    assert verbs(reload_change=START + 1) == []


def test_restart_takes_in_what_waits_for_a_reload() -> None:
    assert verbs(reload_change=RELOAD + 1, restart_change=RELOAD + 1) == ["restart"]


@pytest.mark.parametrize(
    ("enabled", "file_state", "expected"),
    [
        (True, "enabled", []),
        (True, "disabled", ["enable"]),
        (True, "enabled-runtime", ["enable"]),
        (True, "linked", ["enable"]),
        (True, "static", []),
        (True, "generated", []),
        (True, "alias", []),
        (True, "indirect", []),
        (False, "enabled", ["disable"]),
        (False, "enabled-runtime", ["disable"]),
        (False, "disabled", []),
        (False, "static", []),
    ],
)
def test_unit_starts_at_boot_as_wanted(enabled: bool, file_state: str, expected: list[str]) -> None:
    assert verbs(enabled=enabled, UnitFileState=file_state) == expected


@pytest.mark.parametrize(
    ("wanted", "active", "verb"), [("started", "inactive", "start"), ("stopped", "active", "stop")]
)
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("unread", [True, False])
def test_systemd_reads_units_before_it_enables_and_starts_them(
    wanted: str, active: str, verb: str, enabled: bool, unread: bool
) -> None:
    expected = ["daemon-reload"] * unread + ["enable" if enabled else "disable", verb]
    assert (
        verbs(
            state=wanted,
            enabled=enabled,
            ActiveState=active,
            UnitFileState="disabled" if enabled else "enabled",
            NeedDaemonReload="yes" if unread else "no",
        )
        == expected
    )


@pytest.mark.parametrize("never", ["", "n/a"])
def test_unit_that_never_became_active_is_older_than_every_file(never: str) -> None:
    assert verbs(ActiveEnterTimestamp=never, ActiveState="activating", restart_change=1.0) == ["restart"]
    assert parse_timestamp(never) == NEVER


@pytest.mark.parametrize(("text", "seconds"), [("ActiveEnter", START), ("StateChange", RELOAD)])
def test_times_of_systemd_keep_their_microseconds(text: str, seconds: float) -> None:
    assert parse_timestamp(RUNNING[f"{text}Timestamp"]) == seconds


def test_value_with_an_equals_sign_is_kept_whole() -> None:
    shown = parse_show("FragmentPath=/etc/a=b.service\nDropInPaths=\n\nLoadState=loaded\n")
    assert shown == {"FragmentPath": "/etc/a=b.service", "DropInPaths": "", "LoadState": "loaded"}


def test_drop_in_that_systemd_has_not_read_is_noticed(tmp_path: Path) -> None:
    directory = tmp_path / "a.service.d"
    assert not unknown_drop_ins("a.service", {"DropInPaths": ""}, tmp_path)
    directory.mkdir()
    for name in ("one.conf", "two.conf", "note.txt"):
        (directory / name).touch()
    known = f"{directory}/one.conf"
    assert unknown_drop_ins("a.service", {"DropInPaths": known}, tmp_path)
    assert not unknown_drop_ins("a.service", {"DropInPaths": f"{known} {directory}/two.conf"}, tmp_path)


def test_file_that_was_copied_with_its_old_time_is_new(tmp_path: Path) -> None:
    file = tmp_path / "one.conf"
    file.touch()
    os.utime(file, (1, 1))
    assert newest_change([str(file), str(tmp_path / "absent")]) == file.stat().st_ctime > 1_000_000_000


def test_files_that_are_not_there_need_nothing(tmp_path: Path) -> None:
    assert newest_change([str(tmp_path / "absent")]) == NEVER
