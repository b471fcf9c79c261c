"""The phases of scripts/test: what each one runs, and what it needs to be there first."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from scripts.support import trial
from scripts.support.paths import BACKEND, BACKEND_VENV, CACHE, ROOT, VENV

JUNIT = CACHE / "junit"
LOGS = CACHE / "test-logs"
BIN = VENV / "bin"
# Every host of a scenario has its address from here.
NETWORK = "10.87.0.0/16"
# What hosts get a copy of is looked at by itself; the other product has packages that are not the controller's.
NOT_TYPED_HERE = r"^(scripts/(toolbox/|\w+\.py$)|molecule/product/(shop|asyncpg)/)"
# A scenario that hangs must not take the budget of all others with it.
SCENARIO_SECONDS = 40 * 60
# What each takes on 2 cores beside another phase.
MINUTES = {"release": 20, "split": 15, "default": 12, "backup": 10, "killed": 7, "product": 5}
# Runs of the test bed that a scenario's tests make beside its own hosts.
BESIDES = {"backup": ("spare",), "default": ("bare",)}


@dataclass(frozen=True)
class Phase:
    """One line of the report: commands that are run in order until one fails."""

    name: str
    commands: list[list[str]]
    cwd: Path = ROOT
    # Written by the tests of this phase; a phase with tests that ran none has failed.
    junit: Path | None = None
    needs: frozenset[str] = frozenset()
    env: dict[str, str] = field(default_factory=dict)
    # Runs of the test bed that it makes, which are removed when it is over, however it ended.
    runs: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """Where all output of this phase goes."""
        return LOGS / f"{self.name}.log"


def all_phases() -> list[Phase]:
    """Every phase, the quick ones first: what is broken is known early."""
    return [*lint(), *backend_lint(), *unit(), *databases(), *testbed(), *new_user(), *scenarios()]


def lint() -> list[Phase]:
    """Style and types of everything but the application."""
    ruff, mypy = str(BIN / "ruff"), str(BIN / "mypy")
    programs = [str(path.relative_to(ROOT)) for path in commands_of_people()]
    # On a host scripts/ is the top of what the commands import: `toolbox`, not `scripts.toolbox`.
    for_hosts = [str(path.relative_to(ROOT)) for path in commands_of_hosts()]
    typed = [
        [mypy, "plugins", "scripts", "molecule", "--exclude", NOT_TYPED_HERE],
        ["env", "MYPYPATH=scripts", mypy, "scripts/toolbox", *for_hosts],
        *([mypy, program] for program in programs),
    ]
    return [
        Phase("lint-python", [[ruff, "check", ".", *programs], [ruff, "format", "--check", ".", *programs]]),
        Phase("lint-types", typed),
        Phase("lint-yaml", [[str(BIN / "yamllint"), "--strict", "."]]),
        Phase("lint-ansible", [[str(BIN / "ansible-lint"), "--offline", "--strict"]]),
    ]


def commands_of_people() -> list[Path]:
    """The programs in scripts/: Python without the suffix by which the linters would find them."""
    return sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix)


def commands_of_hosts() -> list[Path]:
    """The programs in scripts/ that hosts get a copy of."""
    return sorted((ROOT / "scripts").glob("*.py"))


def backend_lint() -> list[Phase]:
    """Style and types of the application, by its own rules and its own environment."""
    tools = BACKEND_VENV / "bin"
    ruff = str(tools / "ruff")
    commands = [[ruff, "check", "."], [ruff, "format", "--check", "."], [str(tools / "mypy"), "app"]]
    return [Phase("lint-backend", commands, cwd=BACKEND, needs=frozenset({"backend"}))]


def pytest(program: Path, name: str, *words: str) -> tuple[list[str], Path]:
    """A pytest command line and the JUnit file that it writes."""
    junit = JUNIT / f"{name}.xml"
    return [str(program), "-q", "-p", "no:cacheprovider", f"--junitxml={junit}", *words], junit


def unit() -> list[Phase]:
    """Tests that need no host. Some start a program of their own: the real HAProxy, not a likeness of it."""
    command, junit = pytest(
        BIN / "pytest",
        "unit",
        "tests",
        "--ignore=tests/postgresql",
        "--ignore=tests/hosts",
        "--ignore=tests/trial",
        "-n2",
        # The tests of a file share what takes seconds to make: a cluster, a repository.
        "--dist=loadfile",
    )
    return [Phase("unit", [command], junit=junit, needs=frozenset({"servers"}))]


def databases() -> list[Phase]:
    """Tests against a real PostgreSQL 15: a throwaway cluster for each phase."""
    plugins, plugins_junit = pytest(BIN / "pytest", "postgresql", "tests/postgresql")
    needs = frozenset({"servers"})
    of_backend = []
    # Half of its time goes into migrations; so they are beside the rest.
    for name, words in {
        "backend": ["tests", "--ignore-glob=*/test_migrations*"],
        "backend-migrations": [str(path) for path in sorted((BACKEND / "tests").glob("test_migrations*.py"))],
    }.items():
        command, junit = pytest(BACKEND_VENV / "bin" / "pytest", name, *words)
        of_backend.append(
            Phase(
                name,
                [[*throwaway_cluster(), *command]],
                cwd=BACKEND,
                junit=junit,
                needs=needs | {"backend"},
            )
        )
    return [
        # The product's migrations are run there too.
        Phase(
            "postgresql",
            [[*throwaway_cluster(), *plugins]],
            junit=plugins_junit,
            needs=needs | {"backend"},
        ),
        *of_backend,
    ]


def throwaway_cluster() -> list[str]:
    """The words before a command that needs a PostgreSQL: a cluster in a temporary directory, on a free port.

    pg_virtualenv looks for a free port itself, but two at the same moment find the same one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("fsync=off", "shared_preload_libraries=pg_stat_statements")
    return [
        *("env", f"PGPORT={port}", "pg_virtualenv", "-t", "-v", "15"),
        *(word for option in options for word in ("-o", option)),
    ]


def testbed() -> list[Phase]:
    """The test bed itself, on hosts of its own: a scenario that runs on it could not tell what it hides."""
    command, junit = pytest(BIN / "pytest", "testbed", "tests/hosts")
    runs = ("testbed-one", "testbed-two")
    return [Phase("testbed", [command], junit=junit, needs=frozenset({"hosts"}), runs=runs)]


def new_user() -> list[Phase]:
    """scripts/try on a clone, the README's change, and the way back; on the one host that scripts/try has."""
    command, junit = pytest(BIN / "pytest", "try", "tests/trial")
    return [Phase("try", [command], junit=junit, needs=frozenset({"hosts"}), runs=(trial.RUN,))]


def scenario_names() -> list[str]:
    """The Molecule scenarios of this repository, the longest first, so that none is left over at the end."""
    names = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    return sorted(names, key=lambda name: -MINUTES.get(name, 0))


def scenarios() -> list[Phase]:
    """One phase for each Molecule scenario, each with hosts of its own."""
    return [scenario(name) for name in scenario_names()]


def scenario(name: str) -> Phase:
    """The whole test sequence of one scenario. Who runs it removes its hosts, also when it is killed."""
    command = ["timeout", "--kill-after=60", str(SCENARIO_SECONDS)]
    command += [str(BIN / "molecule"), "test", "--scenario-name", name, "--no-command-borders"]
    return Phase(
        f"molecule-{name}",
        [command],
        junit=JUNIT / f"molecule-{name}.xml",
        needs=frozenset({"hosts"}),
        env={"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"},
        runs=(name, *BESIDES.get(name, ())),
    )
