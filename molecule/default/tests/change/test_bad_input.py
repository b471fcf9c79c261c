"""Input that cannot work is refused before anything is touched, all of it at once."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared import fingerprint
from shared.landscape import ROOT, Landscape
from shared.machine import Machine
from shared.playbook import Playbook, Run
from shared.wait import until

FOREIGN_PORT = 15432
# Where all that these tests bring lies.
AWAY = "/opt/bad-input"
MISSING = "vault_readonly_password"
BAD: dict[str, Any] = {
    "pgbouncer_default_pool_size": 120,
    "vault_jwt_secret": "secret",
    "release_ref": "v9.9",
    "release_architecture": "aarch64",
    "release_python": "3.12",
    "haproxy_timeout_server": "half a minute",
    "bundle_postgresql_port": FOREIGN_PORT,
    "postgresql_data_directory": "/mnt/small/15/main",
}
# By the class of bad input: what the list names, and words that say what is allowed or what is in the way.
FOUND: dict[str, tuple[str, str]] = {
    "missing secret": (MISSING, "scripts/secrets"),
    "weak secret": ("vault_jwt_secret", "too weak"),
    "unknown release ref": ("release_ref", '"v9.9": not in'),
    "wrong type": ("haproxy_timeout_server", "must be a whole number"),
    "pools beyond max_connections": ("pgbouncer_default_pool_size", "120 with 5 in reserve"),
    "wrong system": ("operating system", "Ubuntu 22.04: must be Debian 12"),
    "wrong machine type": ("architecture", "must be aarch64"),
    "wrong Python": ("python", "must be 3.12"),
    "too little memory": (
        "memory",
        "1200 MB: must be at least 1300 MB (900 MB for postgresql, 400 MB for api)",
    ),
    "more memory than there is": ("postgresql_memory_mb", "1536: at most 1200 MB"),
    "occupied port": ("postgresql_port", "of foreign-postgresql.service listens there"),
    "no space": ("postgresql_free_space_mb", "free on /mnt/small: must be at least 1024 MB"),
}
# What another host would be like: as lxcfs shows a container its share of the memory, and another distribution.
OTHER_FILES = {
    "/proc/meminfo": "MemTotal: 1228800 kB\nMemFree: 1000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "/etc/os-release": 'ID=ubuntu\nNAME="Ubuntu"\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04"\n',
}
# Debian's own program, from a data directory that is nobody's: it is called postgres like the one of the role.
FOREIGN = f"""
install -d -o postgres {AWAY}/foreign && cd {AWAY}/foreign
runuser -u postgres -- /usr/lib/postgresql/15/bin/initdb --no-sync --auth=peer --pgdata=data >/dev/null
systemd-run --quiet --collect --unit=foreign-postgresql --uid=postgres /usr/lib/postgresql/15/bin/postgres \\
  -D {AWAY}/foreign/data -p {FOREIGN_PORT} -k {AWAY}/foreign
"""


# A host of the test bed has no nodes of loop devices. The kernel takes the device back when it is unmounted.
MOUNT = """
image=$1 where=$2
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
device=$(losetup --find)
[ -e "$device" ] || mknod "$device" b 7 "${device#/dev/loop}"
mkdir -p "$where" && mount -o "loop=$device" "$image" "$where"
"""


def mount(machine: Machine, image: str, where: str) -> None:
    """Mount a file that holds a file system."""
    machine.sh(f"set -- {image} {where}\n{MOUNT}")


def small_disk(machine: Machine, image: str, megabytes: int) -> None:
    """Make a file that holds an ext4 file system."""
    machine.sh(f"mkdir -p {AWAY} && truncate --size={megabytes}M {image} && mkfs.ext4 -q {image}")


@contextmanager
def spoiled(database: Machine) -> Iterator[None]:
    """A host that is as nobody would want it."""
    database.sh(FOREIGN, timeout=60)
    until(
        lambda: database.sh(f"ss --no-header -ltn sport = :{FOREIGN_PORT}"),
        seconds=20,
        what="a listener on the port",
    )
    small_disk(database, f"{AWAY}/small.ext4", 64)
    mount(database, f"{AWAY}/small.ext4", "/mnt/small")
    for path, text in OTHER_FILES.items():
        copy = f"{AWAY}/{Path(path).name}"
        database.sh(f"printf %s {text!r} | sed 's/\\\\n/\\n/g' >{copy} && mount --bind {copy} {path}")
    try:
        yield
    finally:
        database.sh(f"umount {' '.join(OTHER_FILES)} /mnt/small")
        database.sh(f"systemctl stop foreign-postgresql && rm -rf {AWAY} /mnt/small")


@pytest.fixture(scope="module")
def lacking(landscape: Landscape, tmp_path_factory: pytest.TempPathFactory) -> Playbook:
    """Runs against the scenario's inventory, from which one secret was taken."""
    copy = tmp_path_factory.mktemp("lacking") / "inventory"
    shutil.copytree(landscape.inventory, copy)
    vault = copy / "group_vars" / "all" / "vault.yml"
    kept = [line for line in vault.read_text().splitlines(keepends=True) if not line.startswith(MISSING)]
    vault.write_text("".join(kept))
    return Playbook(copy, tmp_path_factory.mktemp("playbook"))


@pytest.fixture(scope="module", params=["site.yml", "playbooks/deploy.yml"])
def refused(
    request: pytest.FixtureRequest, lacking: Playbook, landscape: Landscape, database: Machine
) -> tuple[Run, list[str]]:
    """A run with bad input, and what is different on the hosts after it."""
    before = fingerprint.everything(landscape)
    with spoiled(database):
        run = lacking.run(request.param, seconds=120, release_repository=str(ROOT), **BAD)
    return run, fingerprint.differences(before, fingerprint.everything(landscape))


def problems(run: Run) -> dict[str, str]:
    """The numbered list of a refusal: what is wrong, and the whole of its entry, by variable."""
    text = run.output.partition(" found before anything was touched:")[2].partition("Origin:")[0]
    flat = " ".join(text.split())
    entries = re.split(r"(?:^| )\d+\. (?=\w+: )", flat)[1:]
    return {entry.split(": ")[2].partition(" = ")[0]: entry for entry in entries}


def test_bad_input_stops_the_run_and_touches_nothing(refused: tuple[Run, list[str]]) -> None:
    run, differences = refused
    assert run.status != 0
    assert run.changed == []
    assert differences == []


def test_bad_input_is_reported_in_one_list(refused: tuple[Run, list[str]]) -> None:
    assert f"{len(FOUND)} problems found before anything was touched:" in refused[0].output
    assert set(problems(refused[0])) == {variable for variable, _ in FOUND.values()}


@pytest.mark.parametrize(("variable", "words"), FOUND.values(), ids=FOUND.keys())
def test_a_report_names_the_value_and_what_is_allowed(
    refused: tuple[Run, list[str]], variable: str, words: str
) -> None:
    assert words in problems(refused[0])[variable]


def test_a_report_keeps_a_secret_to_itself(refused: tuple[Run, list[str]]) -> None:
    line = next(line for line in refused[0].output.splitlines() if "vault_jwt_secret = " in line)
    assert BAD["vault_jwt_secret"] not in line.partition("vault_jwt_secret")[2].split(":")[0]


@pytest.fixture
def full_disk(api: Machine, landscape: Landscape) -> Iterator[None]:
    """The product's directory on a file system of its own, in which its release leaves 100 MB."""
    root = f"/srv/{landscape.value('bundle_name')}"
    used = int(api.sh(f"du --summarize --block-size=1M {root}").split()[0])
    image = f"{AWAY}/full.ext4"
    small_disk(api, image, used + 160)
    mount(api, image, "/mnt/full")
    api.sh(f"cp -a {root}/. /mnt/full && umount /mnt/full && rmdir /mnt/full", timeout=60)
    mount(api, image, root)
    yield
    # A job that cron has started may be at work there.
    api.sh(f"umount --lazy {root} && rm -rf {AWAY}")


@pytest.fixture
def next_release(tmp_path: Path) -> str:
    """A repository with one more change of the application."""
    clone = tmp_path / "product"
    git = ["git", "-C", str(clone), "-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    (clone / "backend" / "NEXT").write_text("One more release.\n")
    subprocess.run([*git, "add", "backend/NEXT"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "Change the application"], check=True)
    return str(clone)


def test_a_second_release_is_refused_on_a_full_disk_and_the_first_is_not(
    playbook: Playbook, full_disk: None, next_release: str
) -> None:
    run = playbook.run(seconds=120, release_repository=next_release)
    assert run.status != 0
    assert run.changed == []
    [(variable, entry)] = problems(run).items()
    assert variable == "release_free_space_mb"
    assert "must be at least 300 MB" in entry
    # What serves has its space already: a full disk keeps no repair from running.
    preflight_alone = playbook.run("playbooks/provision.yml", "--tags=always", seconds=60)
    assert preflight_alone.status == 0, preflight_alone.output
    assert "Remember which roles have passed" in preflight_alone.output
