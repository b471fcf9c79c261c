"""The steps of scripts/try: from nothing to an API with data in it, and back."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from scripts.support import bootstrap, process, vault
from scripts.support.console import Console, Failure
from scripts.support.paths import CACHE, ROOT, STATE, TESTBED, VENV, shown

RUN = "try"
HOST = "local1"
ADDRESS = "10.87.0.10"
NETWORK = "10.87.0.0/24"
URL = f"https://{ADDRESS}"
LOGS = CACHE / "try"
ANSWER_SECONDS = 30
SSH = f"ssh -F {STATE}/runs/{RUN}/ssh_config"


def build(console: Console, jobs: int, applications: int) -> None:
    """Bring up the host with everything on it; each step does only what is still to be done."""
    console.line(f"Logs: {shown(LOGS)}/")
    with console.phase("Debian packages of this machine"):
        bootstrap.install_packages(bootstrap.HOST_PACKAGES, LOGS / "packages.log", console.note)
    with console.phase("Python tools (requirements.lock → .venv)"):
        bootstrap.ensure_controller(LOGS / "python.log", console.note)
    with console.phase("Base image: bare Debian 12"):
        testbed("image", log="image", console=console)
    with console.phase(f"Host {HOST} at {ADDRESS}"):
        testbed("up", RUN, f"--host={HOST}={ADDRESS}", log="host", console=console)
    with console.phase("Secrets of inventories/local"):
        try:
            vault.ensure(vault.vault_file("local"), plain=True)
        except vault.VaultError as error:
            raise Failure(str(error)) from error
    give_back()
    with console.phase("ansible-playbook site.yml"):
        changed = playbook(console)
    with console.phase("Sample data"):
        sample_data(console, jobs, applications)
    with console.phase(f"The API at {URL} answers"):
        wait_for_api()
    give_back()
    console.line()
    console.line(f"Ready after {console.seconds():.0f} s; site.yml changed {changed} things on the host.")
    console.line(guide())


def is_there() -> bool:
    """Whether this machine has the host, up or down, or a half-made one."""
    return (STATE / "runs" / RUN).is_dir()


def testbed(*words: str, log: str, console: Console) -> None:
    """Run a command of the test bed."""
    command = ["/usr/bin/python3" if Path("/usr/bin/python3").exists() else "python3", str(TESTBED), *words]
    process.must(command, LOGS / f"{log}.log", watch=console.note)


def playbook(console: Console) -> str:
    """Run site.yml against inventories/local; returns how many things it changed, for a person to read."""
    log = LOGS / "site.log"
    process.must(
        [VENV / "bin" / "ansible-playbook", "site.yml"],
        log,
        watch=lambda line: console.note(task_name(line)) if line.startswith(("TASK [", "PLAY [")) else None,
        env={**bootstrap.tool_environment(), "ANSIBLE_NOCOLOR": "1"},
        advice=(
            "Run scripts/try again: it goes on where this stopped.\n"
            f"To look around: {SSH} {HOST}\nTo begin anew: scripts/try --destroy && scripts/try"
        ),
    )
    recap = re.findall(rf"^{HOST} .*\bchanged=(\d+)", log.read_text(), re.MULTILINE)
    return str(recap[-1]) if recap else "?"


def task_name(line: str) -> str:
    """The name in Ansible's line that begins a play or a task."""
    return line.partition("[")[2].rpartition("]")[0]


def sample_data(console: Console, jobs: int, applications: int) -> None:
    """Let the release on the host fill its database, unless it has data; the generator is the product's."""
    words = ["intowork-run", "-m", "app.sample_data", "--if-empty"]
    words += ["--jobs", str(jobs), "--applications", str(applications)]
    process.must([*SSH.split(), HOST, *words], LOGS / "sample-data.log", watch=console.note)


def wait_for_api() -> None:
    """Ask for the first page of jobs through the front door until it comes; Failure with the last answer."""
    # The certificate is the host's own, signed by nobody: what matters here is that somebody answers.
    context = ssl._create_unverified_context()  # noqa: S323
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{URL}/api/jobs", timeout=5, context=context) as answer:  # noqa: S310
                json.load(answer)
                return
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise Failure(
                    f"{URL}/api/jobs does not answer ({error}). Look at the service: "
                    f"{SSH} {HOST} journalctl -u 'intowork-api@*' -n 50"
                ) from error
        time.sleep(0.2)


def give_back() -> None:
    """Let the person who typed sudo use what root made here: environment, caches, secrets, the hosts' key."""
    owner, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if os.geteuid() != 0 or not owner or not group or owner == "0":
        return
    made = [VENV, CACHE, vault.vault_file("local"), STATE / "ssh"]
    # What Python compiled as root could not be removed with the clone.
    for part in ("molecule", "plugins", "scripts"):
        made += (ROOT / part).rglob("__pycache__")
    for top in made:
        for path in [top, *top.rglob("*")] if top.exists() else []:
            os.chown(path, int(owner), int(group), follow_symlinks=False)


def destroy(console: Console, *, purge: bool) -> None:
    """Remove the host with its processes, mounts, network and rules; with `purge` all that hosts share."""
    with console.phase(f"Removing host {HOST}"):
        testbed("down", RUN, log="destroy", console=console)
    if purge:
        with console.phase("Removing base images, layers, keys and every other run"):
            testbed("down", "--all", "--purge", log="purge", console=console)
    elif (STATE / "images").is_dir():
        console.line(
            f"The base image stays in {STATE} for next time; `scripts/try --destroy --purge` removes it."
        )


def guide() -> str:
    """What to look at and what to type next."""
    return f"""
  The API      {URL}/   (its certificate is its own: curl -k)
    curl -k {URL}/health/database
    curl -k '{URL}/api/jobs?limit=3'

  Where to look
    {SSH} {HOST}                                          a shell on the host
    {SSH} {HOST} journalctl -f -u 'intowork-api@*'        the API's journal
    {SSH} -t {HOST} sudo -u postgres psql intowork        the database
    {SSH} -t {HOST} sudo -u pgbouncer psql -p 6432 -h /run/pgbouncer pgbouncer    SHOW POOLS; SHOW STATS;

  What to type next
    . .venv/bin/activate
    ansible-playbook site.yml                     a second run changes nothing
    ansible-playbook site.yml --check --diff      what would change, the SQL of pending migrations included
    edit inventories/local, for instance pgbouncer_default_pool_size, and run site.yml again
    scripts/try --destroy                         removes the host

  The guide is {shown(ROOT / "README.md")}; production is `-i inventories/production`.
"""
