"""What role api writes: units that systemd takes, without a secret, and settings that arrive as they were given."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
Render = Callable[..., str]
SECRET = "Vq7pL2xTz9dKc4m"
INVENTORY: dict[str, Any] = {
    "bundle_name": "shop",
    "bundle_address": "10.1.0.20",
    "bundle_colour_ports": {"blue": 8001, "green": 8002},
    "bundle_ready_path": "/health/ready",
    "bundle_addresses_of_haproxy": ["10.1.0.30", "10.1.0.31"],
    "bundle_pooled_url": f"postgresql+psycopg://app:{SECRET}@10.1.0.10:6432/shop",
    "bundle_pool_mode": "transaction",
    "bundle_database_url_variable": "DATABASE_URL",
    "bundle_bootstrap_command": "",
    "bundle_smoke_paths": ["/health/ready"],
    "api_release": "0123456789ab",
    # Where Ansible looks for the templates that a template names.
    "ansible_search_path": [str(ROOT / "roles/api")],
}
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def read_as_systemd(file: Path) -> dict[str, str]:
    """Return the variables that systemd itself reads from a file of EnvironmentFile=, and would give to the service."""
    found = sorted(Path("/usr/lib").glob("*/systemd/libsystemd-shared-*.so"))
    assert found, "these tests need systemd's own library: apt-get install systemd"
    systemd, libc = ctypes.CDLL(str(found[-1])), ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    systemd.load_env_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    stream = ctypes.c_void_p(libc.fopen(str(file).encode(), b"re"))
    lines: Any = ctypes.POINTER(ctypes.c_char_p)()
    assert systemd.load_env_file(stream, str(file).encode(), ctypes.byref(lines)) >= 0
    libc.fclose(stream)
    read = []
    for line in lines:
        if line is None:
            break
        # What is not valid is left out, with a line in the journal.
        if systemd.env_assignment_is_valid(line):
            read.append(line.decode())
    return dict(line.split("=", 1) for line in read)


def environment(render: Render, directory: Path, values: dict[str, Any]) -> dict[str, str]:
    file = directory / "blue.env"
    file.write_bytes(render("api", "environment.j2", **INVENTORY, api_environment=values).encode())
    return read_as_systemd(file)


def environment_text(render: Render) -> str:
    return render("api", "environment.j2", **INVENTORY, api_runtime_directory_variable="FIGURES_DIR")


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        'a "quoted" word',
        "it's",
        "back\\slash and end\\",
        "$HOME ${HOME} `id` $$",
        "%h %% percent",
        "  spaces around  ",
        "# no comment ; neither",
        "-----BEGIN KEY-----\nTz9d=\n# Kc4m\n-----END KEY-----\n",
        "tab\tand bell\a",
        "é ☃ 💡",
        "",
        "'",
        '"',
        "\\\n",
        "\\n",
        "a=b",
        "[1, 2]",
        '{"a": "b"}',
    ],
)
def test_value_reaches_the_service_as_it_was_given(render: Render, tmp_path: Path, value: str) -> None:
    found = environment(render, tmp_path, {"BEFORE": "1", "VALUE": value, "ZAFTER": "2"})
    assert found["VALUE"] == value
    assert (found["BEFORE"], found["ZAFTER"]) == ("1", "2")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(value=VALUES)
def test_every_value_reaches_the_service_as_it_was_given(render: Render, tmp_path: Path, value: str) -> None:
    assert environment(render, tmp_path, {"VALUE": value})["VALUE"] == value


def test_service_gets_its_database_release_and_workers(render: Render, tmp_path: Path) -> None:
    found = environment(render, tmp_path, {})
    assert found == {
        "DATABASE_URL": INVENTORY["bundle_pooled_url"],
        "RELEASE_ID": "0123456789ab",
        "WORKERS": "2",
    }


def test_inventory_has_the_last_word(render: Render, tmp_path: Path) -> None:
    found = environment(render, tmp_path, {"WORKERS": 4, "FLAG": True})
    assert (found["WORKERS"], found["FLAG"]) == ("4", "True")


def test_product_may_call_its_database_by_another_name(render: Render) -> None:
    text = render("api", "environment.j2", **INVENTORY, api_database_url_variable="SQLALCHEMY_URL")
    assert f'SQLALCHEMY_URL="{INVENTORY["bundle_pooled_url"]}"\n' in text
    assert "DATABASE_URL" not in text


def test_change_of_the_unit_changes_the_settings_file(render: Render) -> None:
    one = render("api", "environment.j2", **INVENTORY)
    other = render("api", "environment.j2", **INVENTORY, api_stop_timeout=60)
    assert one.splitlines()[0] != other.splitlines()[0]
    assert one.splitlines()[1:] == other.splitlines()[1:]


def test_same_inventory_renders_the_same_settings(render: Render) -> None:
    one = INVENTORY | {"api_environment": {"B": "1", "A": "2"}}
    other = INVENTORY | {"api_environment": {"A": "2", "B": "1"}}
    assert render("api", "environment.j2", **one) == render("api", "environment.j2", **other)


@pytest.mark.parametrize("template", ["api@.service.j2", "run.j2"])
def test_no_secret_is_in_what_everybody_may_read(render: Render, template: str) -> None:
    text = render("api", template, **INVENTORY, api_environment={"KEY": SECRET})
    assert SECRET not in text
    assert "DATABASE_URL" not in text


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"api_writable_paths": ["/var/lib/shop", "/srv/uploads", "var/pictures"]},
        {"api_runtime_directory_variable": "PROMETHEUS_MULTIPROC_DIR"},
    ],
)
@pytest.mark.parametrize("colour", ["blue", "green"])
def test_systemd_takes_the_unit(
    render: Render, tmp_path: Path, colour: str, variables: dict[str, Any]
) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "these tests need systemd-analyze: apt-get install systemd"
    root = tmp_path / "srv"
    program = root / colour / "venv/bin/uvicorn"
    program.parent.mkdir(parents=True)
    program.symlink_to("/bin/true")
    (tmp_path / "shop-api@.service").write_text(
        render("api", "api@.service.j2", **INVENTORY, api_root=str(root), **variables)
    )
    unit = tmp_path / f"shop-api@{colour}.service"
    unit.symlink_to("shop-api@.service")
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(unit)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "shop-api" in line]) == (0, [])


def test_what_a_product_keeps_in_its_folder_is_the_same_for_every_release(render: Render) -> None:
    unit = render("api", "api@.service.j2", **INVENTORY, api_writable_paths=["pictures/", "/srv/uploads"])
    assert "BindPaths=/srv/shop/shared/pictures:/srv/shop/%i/source/pictures\n" in unit
    assert "ReadWritePaths=/srv/uploads\n" in unit
    command = render("api", "run.j2", **INVENTORY, api_writable_paths=["pictures"])
    assert 'BindPaths=/srv/shop/shared/pictures:/srv/shop/"$colour"/source/pictures' in command


def test_places_that_the_service_may_write_belong_to_it(value: Callable[..., Any]) -> None:
    places = value("api", "__api_places", **INVENTORY, api_writable_paths=["pictures", "/var/lib/shop"])
    own = {"owner": "shop", "group": "shop", "mode": "0750"}
    assert places == [{"path": "/srv/shop/shared/pictures", **own}, {"path": "/var/lib/shop", **own}]


def test_first_rows_are_made_in_the_sandbox_of_the_service(render: Render) -> None:
    variables = {"bundle_bootstrap_command": "shop first-rows", "api_writable_paths": ["pictures"]}
    unit = render("api", "bootstrap@.service.j2", **INVENTORY | variables)
    assert "ExecStart=/srv/shop/releases/%i/venv/bin/shop first-rows\n" in unit
    assert "ExecStartPost=+/usr/bin/rm -f /srv/shop/first-rows-due /etc/shop/bootstrap.env\n" in unit
    assert "BindPaths=/srv/shop/shared/pictures:/srv/shop/releases/%i/source/pictures\n" in unit
    assert "User=shop\n" in unit
    assert "ProtectSystem=strict\n" in unit


def test_change_of_the_pool_mode_changes_the_settings_file(render: Render) -> None:
    other = render("api", "environment.j2", **INVENTORY | {"bundle_pool_mode": "session"})
    assert other != render("api", "environment.j2", **INVENTORY)


def test_service_is_stopped_before_systemd_loses_patience(render: Render) -> None:
    unit = render("api", "api@.service.j2", **INVENTORY, api_stop_timeout=42)
    assert "TimeoutStopSec=42\n" in unit
    assert "--timeout-graceful-shutdown 37\n" in unit


def test_each_colour_has_a_directory_of_its_own_below_run(render: Render) -> None:
    unit = render("api", "api@.service.j2", **INVENTORY)
    assert "RuntimeDirectory=shop-api-%i\n" in unit
    # systemd makes it new at each start, unless it is told to keep it.
    assert "RuntimeDirectoryPreserve" not in unit
    assert "PROMETHEUS_MULTIPROC_DIR" not in unit


def test_service_is_told_its_directory_by_the_name_that_it_wants(render: Render) -> None:
    unit = render("api", "api@.service.j2", **INVENTORY, api_runtime_directory_variable="FIGURES_DIR")
    assert "Environment=FIGURES_DIR=%t/shop-api-%i\n" in unit
    # Commands that an operator runs read the settings file, and leave the service's directory alone.
    assert "FIGURES_DIR" not in environment_text(render)


def test_forwarded_headers_are_believed_from_the_proxies_only(render: Render) -> None:
    assert "--forwarded-allow-ips=10.1.0.30,10.1.0.31 " in render("api", "api@.service.j2", **INVENTORY)


def test_run_command_is_a_shell_script_that_says_when_nothing_is_live(render: Render, tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text(render("api", "run.j2", **INVENTORY, api_root=str(tmp_path)))
    done = subprocess.run(["sh", script, "-m", "app.cli"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "shop-run: no release is live on this host yet" in done.stderr
