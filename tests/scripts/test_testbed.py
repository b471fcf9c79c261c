"""The test bed's names, files and rules, as far as they need no host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import image, machine, network, runs, state, supervisor
from testbed.shell import TestbedError, wait_until
from testbed.state import Host, Run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITOPS_BUNDLE_STATE", str(tmp_path / "state"))


def run_of(*hosts: str, name: str = "demo") -> Run:
    return Run(name, [Host.parse(text) for text in hosts])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("db1", "write NAME=ADDRESS"),
        ("=10.87.9.10", "write NAME=ADDRESS"),
        ("DB_1=10.87.9.10", "lower-case letters"),
        ("db1=10.87.9", "'10.87.9' is not an IPv4 address"),
        ("db1=fd00::1", "is not an IPv4 address"),
        ("db1=10.87.9.1", "the outer machine"),
        ("db1=10.87.9.255", "instance 10.87.9.10"),
        ("db1=8.8.8.8", "must be private"),
    ],
)
def test_a_wrong_host_is_refused_with_what_is_allowed(text: str, reason: str) -> None:
    with pytest.raises(TestbedError, match=reason):
        Host.parse(text)


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ([], "no host was asked for"),
        (["a=10.87.9.10", "a=10.87.9.11"], "same name: a"),
        (["a=10.87.9.10", "b=10.87.9.10"], "same address: 10.87.9.10"),
        (["a=10.87.9.10", "b=10.87.8.10"], "share one /24"),
    ],
)
def test_hosts_that_do_not_go_together_are_refused(hosts: list[str], reason: str) -> None:
    with pytest.raises(TestbedError, match=reason):
        state.check_hosts([Host.parse(text) for text in hosts])


@pytest.mark.parametrize("name", ["", "Demo", "9lives", "a-name-too-long", "a/b", "../up"])
def test_a_run_whose_bridge_could_not_be_named_is_refused(name: str) -> None:
    with pytest.raises(TestbedError, match="at most 12"):
        state.check_run_name(name)


def test_a_run_is_read_as_it_was_written() -> None:
    run = run_of("db1=10.87.9.10", "api1=10.87.9.20")
    run.lower = {"db1": ["/layer", "/base"], "api1": ["/base"]}
    run.save()
    assert Run.load("demo") == run
    assert state.run_names() == ["demo"]


def test_an_unknown_run_or_host_is_refused_with_the_known_ones() -> None:
    run = run_of("db1=10.87.9.10")
    run.save()
    with pytest.raises(TestbedError, match="no run 'other'; runs: demo"):
        Run.load("other")
    with pytest.raises(TestbedError, match="no host 'api1'; it has: db1"):
        run.host("api1")


def test_a_run_with_other_hosts_is_not_taken_over() -> None:
    run_of("db1=10.87.9.10").save()
    with pytest.raises(TestbedError, match=r"db1=10\.87\.9\.10"):
        runs.same_or_refuse(run_of("db1=10.87.9.11"), None)


def test_a_name_that_two_runs_could_mean_does_not_exist() -> None:
    one, other = run_of("c=10.87.9.10", name="a-b"), run_of("b-c=10.87.8.10", name="a")
    assert machine.unit_name(one, "c") != machine.unit_name(other, "b-c")


def test_the_rules_of_two_runs_are_apart() -> None:
    one, other = run_of("a=10.87.9.10", name="one"), run_of("a=10.87.8.10", name="two")
    assert one.table not in network.rules(other)
    assert "10.87.9.0/24" in network.rules(one)


def test_a_layer_that_stands_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="no layer 'golden'; layers: none"):
        runs.layer_chain("golden")
    directory = state.layers() / "golden"
    (directory / "upper").mkdir(parents=True)
    (directory / "lower.json").write_text(f'["{tmp_path}/gone"]\n')
    with pytest.raises(TestbedError, match="which is gone; `drop-layer golden`"):
        runs.layer_chain("golden")


def test_a_layer_that_a_run_stands_on_is_kept() -> None:
    directory = state.layers() / "golden"
    (directory / "upper").mkdir(parents=True)
    run = run_of("db1=10.87.9.10")
    run.lower = {"db1": [str(directory / "upper"), "/base"]}
    run.save()
    with pytest.raises(TestbedError, match="run demo stands on layer golden"):
        runs.drop_layer("golden")
    assert directory.exists()


def test_the_image_changes_its_name_with_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.recipe_hash()
    monkeypatch.setattr(image, "PACKAGES", [*image.PACKAGES, "vim"])
    assert image.recipe_hash() != before


def test_what_a_role_installs_is_not_in_the_image() -> None:
    assert not {"postgresql-15", "pgbouncer", "haproxy", "python3-psycopg2", "nftables"} & set(image.PACKAGES)


def test_a_file_for_a_host_replaces_a_link_instead_of_following_it(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "upper").mkdir()
    link = tmp_path / "upper" / "machine-id"
    link.symlink_to(precious)
    machine.put(link, "new\n", 0o444)
    assert precious.read_text() == "mine"
    assert not link.is_symlink()


def test_a_host_that_is_not_there_has_no_processes() -> None:
    run = run_of("db1=10.87.9.10")
    assert machine.init_of(run, "db1") is None
    assert machine.keepers_of(run, "db1") == []


def test_open_files_never_exceed_what_this_machine_allows() -> None:
    run = run_of("db1=10.87.9.10")
    command = supervisor.nspawn_command(run, "db1", supervisor.open_files_limit())
    (limit,) = [word.rpartition(":")[2] for word in command if word.startswith("--rlimit=NOFILE")]
    assert 1024 <= int(limit) <= 524288


def test_two_holders_of_a_lock_take_turns(tmp_path: Path) -> None:
    order = tmp_path / "order"
    child = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from testbed import state\n"
        "print('started', flush=True)\n"
        "with state.lock('x'): open(sys.argv[2], 'a').write('child ')\n"
    )
    with state.lock("x"):
        process = subprocess.Popen(
            [sys.executable, "-c", child, str(ROOT / "molecule"), str(order)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        with order.open("a") as handle:
            handle.write("parent ")
    assert process.wait(20) == 0
    assert order.read_text() == "parent child "


def test_waiting_ends_at_the_deadline() -> None:
    assert wait_until(lambda: True, 0)
    assert not wait_until(lambda: False, 0.05, 0.01)


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "demo"],
        ["up", "demo", "--host", "db1"],
        ["down"],
        ["down", "demo", "--all"],
        ["down", "demo", "--purge"],
        ["start", "demo", "db1"],
        ["save", "demo", "db1", "golden"],
    ],
)
def test_a_command_that_makes_no_sense_exits_1_and_says_why(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "molecule" / "testbed"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 1
    assert "testbed: error:" in done.stderr
