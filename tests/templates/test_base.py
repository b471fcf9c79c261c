"""What role base writes: a firewall that nft takes and that leaves the operator in, and small files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]
RULES = [
    {"port": 443, "sources": ["0.0.0.0/0"], "comment": "HTTPS"},
    {"port": "5432", "sources": ["10.0.0.0/8", "10.1.2.3", "fd00::/8"], "comment": 'The "direct" endpoint'},
    {"port": 514, "sources": ["::/0"], "comment": "Logs", "protocol": "udp"},
]


@pytest.fixture
def firewall(render: Render, tmp_path: Path) -> Callable[..., Path]:
    """Render nftables.conf into a file; variables of the role can be given."""

    def rendered(**variables: Any) -> Path:
        file = tmp_path / "nftables.conf"
        file.write_text(render("base", "nftables.conf.j2", **{"bundle_firewall_rules": RULES} | variables))
        return file

    return rendered


def in_own_network(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a network of its own, where it can load a firewall."""
    assert shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin"), (
        "these tests need apt-get install nftables"
    )
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    command = [*unshare, "sh", "-euc", script]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def loaded(file: Path) -> list[dict[str, Any]]:
    """Return the rules of the input chain as the kernel has them once the file is loaded."""
    done = in_own_network(f"nft -f {file}; nft -j list chain inet bundle input")
    assert done.returncode == 0, done.stderr
    return [item["rule"] for item in json.loads(done.stdout)["nftables"] if "rule" in item]


@pytest.mark.parametrize(
    "variables",
    [{}, {"bundle_firewall_rules": []}, {"base_ssh_sources": ["fd00::/8"]}, {"base_ssh_port": "2222"}],
)
def test_nft_takes_the_firewall(firewall: Callable[..., Path], variables: dict[str, Any]) -> None:
    done = in_own_network(f"nft -c -f {firewall(**variables)}")
    assert done.returncode == 0, done.stderr


def test_firewall_drops_what_no_rule_allows(firewall: Callable[..., Path]) -> None:
    done = in_own_network(f"nft -f {firewall()}; nft -j list chain inet bundle input")
    chain = next(item["chain"] for item in json.loads(done.stdout)["nftables"] if "chain" in item)
    assert (chain["hook"], chain["policy"]) == ("input", "drop")


def test_ssh_is_open_before_any_rule_of_the_inventory(firewall: Callable[..., Path]) -> None:
    comments = [rule["comment"] for rule in loaded(firewall()) if "comment" in rule]
    assert comments[0].startswith("SSH")
    assert comments[-1] == "Refused"


def test_sources_of_both_families_become_rules(firewall: Callable[..., Path]) -> None:
    done = in_own_network(f"nft -f {firewall()}; nft list chain inet bundle input")
    assert "ip saddr { 10.0.0.0/8 } tcp dport 5432 accept comment \"The 'direct' endpoint\"" in done.stdout
    assert "ip6 saddr fd00::/8 tcp dport 5432 accept" in done.stdout
    assert "udp dport 514 accept" in done.stdout


def test_second_load_leaves_one_set_of_rules(firewall: Callable[..., Path]) -> None:
    file = firewall()
    once = f"nft -f {file}; nft list ruleset > {file}.1"
    done = in_own_network(f"{once}; nft -f {file}; nft list ruleset | cmp - {file}.1")
    assert done.returncode == 0, done.stdout + done.stderr


def test_tables_of_other_programs_stay(firewall: Callable[..., Path]) -> None:
    done = in_own_network(f"nft add table inet theirs; nft -f {firewall()}; nft list tables")
    assert done.stdout.splitlines() == ["table inet theirs", "table inet bundle"]


def test_journal_is_bounded_in_size_and_age(render: Render) -> None:
    text = render("base", "journald.conf.j2", base_journal_max_megabytes=50, base_journal_max_days=7)
    assert "SystemMaxUse=50M\nRuntimeMaxUse=50M\nMaxRetentionSec=7day\n" in text


def test_time_servers_are_named_only_when_given(render: Render) -> None:
    assert "\nNTP=" not in render("base", "timesyncd.conf.j2")
    text = render("base", "timesyncd.conf.j2", base_time_servers=["a.example", "b.example"])
    assert "\nNTP=a.example b.example\n" in text


def test_each_host_of_the_list_has_a_line(render: Render) -> None:
    hosts = [{"address": "10.0.0.1", "names": ["db1", "db1.test"]}, {"address": "fd00::2", "names": ["api1"]}]
    assert render("base", "hosts.j2", base_hosts=hosts) == "10.0.0.1 db1 db1.test\nfd00::2 api1\n"
