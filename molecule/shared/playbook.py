"""Runs of a playbook against the scenario's inventory: whole ones, and ones that are killed in the middle."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shared.landscape import ROOT
from shared.wait import until

NUMBERS = itertools.count()


@dataclass(frozen=True)
class Run:
    """What a run did: its exit status, all that it said, and the names of the tasks that changed something."""

    status: int
    output: str
    changed: list[str] = field(default_factory=list)

    def said_by(self, task: str) -> str:
        """What one task printed, its diff included; AssertionError when the run has no such task, or two."""
        parts = re.split(r"^(?:TASK|PLAY|PLAY RECAP) \[?", self.output, flags=re.MULTILINE)
        found = [part.partition("\n")[2] for part in parts if part.startswith(f"{task}]")]
        assert len(found) == 1, f"{len(found)} tasks are called {task!r}:\n{self.output[-6000:]}"
        return found[0]

    def says(self, *sentences: str) -> None:
        """AssertionError unless the run failed and said each of these, wherever its lines broke."""
        assert self.status != 0, f"the run succeeded:\n{self.output[-6000:]}"
        said = " ".join(self.output.split())
        missing = [sentence for sentence in sentences if sentence not in said]
        assert not missing, f"not said: {missing}\n{self.output[-6000:]}"

    @property
    def changes(self) -> int:
        """The recap's sum over all hosts."""
        return sum(
            int(count) for count in re.findall(r"^\S+ +: .*\bchanged=(\d+)", self.output, re.MULTILINE)
        )


@dataclass(frozen=True)
class Playbook:
    """ansible-playbook with an inventory, as an operator types it. `directory` is for files of variables."""

    inventory: Path
    directory: Path

    def run(self, name: str = "site.yml", *options: str, seconds: int = 300, **variables: Any) -> Run:
        """Run a playbook to its end, with options and extra variables; subprocess.TimeoutExpired after `seconds`."""
        done = subprocess.run(
            [*self._command(name, variables), *options],
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Run(done.returncode, done.stdout, changed_tasks(done.stdout))

    def must(self, name: str = "site.yml", *options: str, seconds: int = 300, **variables: Any) -> Run:
        """As `run`; AssertionError with the end of what it said unless it ends with 0."""
        run = self.run(name, *options, seconds=seconds, **variables)
        assert run.status == 0, run.output[-6000:]
        return run

    def kill_at(
        self,
        task: str,
        name: str = "site.yml",
        *,
        occurrence: int = 1,
        once: Callable[[], bool] | None = None,
        seconds: int = 300,
        **variables: Any,
    ) -> str:
        """Start a playbook and end it with SIGKILL when it begins `task` for the `occurrence`-th time.

        With `once`, only when that has become true on the host after the task began, so in the middle of it.
        Returns what it had said. AssertionError when it ends by itself: the task was not reached.
        """
        remaining = occurrence

        def reached(line: str) -> bool:
            nonlocal remaining
            remaining -= line.startswith(f"TASK [{task}]")
            if remaining == 0 and once:
                until(once, seconds=60, what=f"the middle of {task!r}", interval=0.05)
            return remaining == 0

        run = self._kill_when(reached, name, seconds, variables)
        assert run.status == -signal.SIGKILL, (
            f"the run ended with {run.status} before it began {task!r}:\n{run.output[-6000:]}"
        )
        return run.output

    def kill_after_change(
        self, task: str, name: str = "site.yml", *, seconds: int = 300, **variables: Any
    ) -> None:
        """Start a playbook and end it with SIGKILL as soon as `task` has changed something on a host.

        AssertionError when it ends by itself: the task was not reached, or had nothing to change.
        """
        current = ""

        def reached(line: str) -> bool:
            nonlocal current
            if line.startswith("TASK ["):
                current = name_of_task(line)
            return line.startswith("changed: [") and current == task

        run = self._kill_when(reached, name, seconds, variables)
        assert run.status == -signal.SIGKILL, (
            f"the run ended with {run.status} before {task!r} changed anything:\n{run.output[-6000:]}"
        )

    def _kill_when(
        self, reached: Callable[[str], bool], name: str, seconds: int, variables: dict[str, Any]
    ) -> Run:
        """Run a playbook, and end it with SIGKILL at the first line for which `reached` is true."""
        process = subprocess.Popen(
            self._command(name, variables),
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout
        limit = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGTERM))
        limit.start()
        said = ""
        try:
            for line in process.stdout:
                said += line
                if reached(line):
                    break
            else:
                process.wait(30)
        finally:
            limit.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            status = process.wait(30)
        return Run(status, said, changed_tasks(said))

    def _command(self, name: str, variables: dict[str, Any]) -> list[str]:
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory), name]
        if variables:
            # One for each run: two may be under way at once.
            file = self.directory / f"variables-{next(NUMBERS)}.yml"
            file.write_text(yaml.safe_dump(variables))
            command += ["-e", f"@{file}"]
        return command

    @staticmethod
    def _environment() -> dict[str, str]:
        # Molecule sets variables of its own for its playbooks; an operator has none of them.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANSIBLE_", "MOLECULE_"))
        }
        tools = f"{Path(sys.executable).parent}:{kept['PATH']}"
        return kept | {"PATH": tools, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}


def name_of_task(line: str) -> str:
    """The name in a line that says which task begins."""
    return line.partition("[")[2].rpartition("]")[0]


def changed_tasks(output: str) -> list[str]:
    """The names of the tasks that changed something on a host, in order, each once in a row."""
    found: list[str] = []
    task = ""
    for line in output.splitlines():
        if line.startswith("TASK ["):
            task = name_of_task(line)
        elif line.startswith("changed: [") and found[-1:] != [task]:
            found.append(task)
    return found
