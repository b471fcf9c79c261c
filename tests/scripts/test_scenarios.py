"""Molecule's scenarios keep the promises that make them tests of the real thing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.state import HOST_NAME, RUN_NAME, Host, check_hosts

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent for path in (ROOT / "molecule").glob("*/molecule.yml"))
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
# What an inventory says of its product, as docs/your-application.md has it.
OF_A_PRODUCT = {"all/product.yml", "all/release.yml", "api/api.yml"}
# Whose tests make the runs themselves.
BY_TESTS = ("killed",)


def inventory(directory: Path) -> dict[str, Any]:
    """The `all` group of an inventory's hosts.yml."""
    found: dict[str, Any] = yaml.safe_load((directory / "hosts.yml").read_text())["all"]
    return found


@each_scenario
def test_converge_is_the_real_playbook_and_nothing_else(scenario: Path) -> None:
    (play,) = yaml.safe_load((scenario / "converge.yml").read_text())
    assert play["ansible.builtin.import_playbook"] == "../../site.yml"
    assert set(play) <= {"name", "ansible.builtin.import_playbook"}


@pytest.mark.parametrize(
    "scenario", [path for path in SCENARIOS if path.name not in BY_TESTS], ids=lambda path: path.name
)
def test_the_second_run_and_the_checks_come_after_the_first(scenario: Path) -> None:
    sequence = yaml.safe_load((scenario / "molecule.yml").read_text())["scenario"]["test_sequence"]
    assert sequence[0] == sequence[-1] == "destroy"
    assert sequence.index("create") < sequence.index("converge") < sequence.index("idempotence")
    assert sequence.index("idempotence") < sequence.index("verify")


@pytest.mark.parametrize("name", BY_TESTS)
def test_scenario_whose_tests_make_the_runs_gives_them_bare_hosts(name: str) -> None:
    sequence = yaml.safe_load((ROOT / "molecule" / name / "molecule.yml").read_text())["scenario"][
        "test_sequence"
    ]
    assert sequence == ["destroy", "create", "verify", "destroy"]
    assert list((ROOT / "molecule" / name / "tests" / "first").glob("test_*.py"))


def test_check_mode_meets_a_bare_host() -> None:
    sequence = yaml.safe_load((ROOT / "molecule/default/molecule.yml").read_text())["scenario"][
        "test_sequence"
    ]
    assert sequence.index("create") + 1 == sequence.index("check") < sequence.index("converge")


@each_scenario
def test_its_variables_are_those_of_the_local_inventory_but_for_another_product(scenario: Path) -> None:
    local, own = ROOT / "inventories" / "local" / "group_vars", scenario / "inventory" / "group_vars"
    files = (
        [path for path in own.rglob("*") if not path.is_dir() and not path.is_symlink()]
        if not own.is_symlink()
        else []
    )
    assert {str(path.relative_to(own)) for path in files} <= OF_A_PRODUCT
    links = [own] if own.is_symlink() else [path for path in own.rglob("*") if path.is_symlink()]
    assert links
    assert {link: link.resolve() for link in links} == {link: local / link.relative_to(own) for link in links}


@each_scenario
def test_the_test_bed_can_boot_its_hosts(scenario: Path) -> None:
    assert RUN_NAME.fullmatch(scenario.name)
    hosts = inventory(scenario / "inventory")["hosts"]
    check_hosts([Host.parse(f"{name}={values['ansible_host']}") for name, values in hosts.items()])
    assert all(HOST_NAME.fullmatch(name) for name in hosts)


@each_scenario
def test_its_host_keys_are_checked(scenario: Path) -> None:
    arguments = inventory(scenario / "inventory")["vars"]["ansible_ssh_common_args"]
    assert arguments == f"-o UserKnownHostsFile=/var/lib/gitops-bundle/runs/{scenario.name}/known_hosts"


def networks_of_inventories() -> list[set[str]]:
    """The networks of each inventory whose hosts the test bed boots."""
    directories = [ROOT / "inventories" / "local", *(scenario / "inventory" for scenario in SCENARIOS)]
    return [
        {str(Host.parse(f"{name}={values['ansible_host']}").network) for name, values in hosts.items()}
        for hosts in (inventory(directory)["hosts"] for directory in directories)
    ]


def test_no_two_inventories_share_a_network() -> None:
    networks = networks_of_inventories()
    assert len(set().union(*networks)) == sum(map(len, networks))


def test_no_test_boots_its_own_hosts_in_a_network_of_others() -> None:
    # Two phases run at once, so a network that two of them use fails whichever comes second, now and then.
    tests = [*(ROOT / "molecule").glob("*/tests/**/*.py"), *(ROOT / "tests/hosts").glob("*.py")]
    found = [
        set(re.findall(r"\b10\.87\.\d+(?=\.\d+\b)", path.read_text())) for path in tests if path.is_file()
    ]
    own = {f"{network}.0/24" for networks in found for network in networks}
    assert own
    assert len(own) == sum(map(len, found))
    assert not own & set().union(*networks_of_inventories())


@each_scenario
def test_it_runs_the_tests_that_hold_in_every_scenario(scenario: Path) -> None:
    config = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text())
    # Molecule leaves out what is not there, without a word.
    (shared,) = [scenario / "tests" / path for path in config["verifier"]["additional_files_or_dirs"]]
    assert (scenario / "tests").is_dir()
    assert {path.parent.name for path in shared.resolve().glob("*/test_*.py")} == {"state", "reboot"}
