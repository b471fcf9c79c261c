"""Running phases side by side, and the report about them."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.support import bootstrap, process
from scripts.support.junit import Count, count, failures
from scripts.support.paths import CACHE, TESTBED, shown
from scripts.support.phases import JUNIT, LOGS, Phase

# More than two at once only makes each slower on the two cores that this is meant for.
SIDE_BY_SIDE = 2
# Failed tests that are named on the terminal; the log has all.
MOST_SHOWN = 20


@dataclass(frozen=True)
class Result:
    """What came of a phase."""

    phase: Phase
    passed: bool
    seconds: float
    tests: Count
    reason: str = ""

    @property
    def total(self) -> Count:
        """Its tests and itself: a phase is one more thing that passes or fails."""
        return self.tests + (Count(passed=1) if self.passed else Count(failed=1))


class Suite:
    """Phases that are run, and their hosts, which are gone when it is over, however it ends."""

    def __init__(self, phases: list[Phase]) -> None:
        self.phases = phases
        self.results: list[Result] = []
        self.stopped = threading.Event()
        self.started = time.monotonic()

    def run(self) -> list[Result]:
        """Run all phases; a failed one does not keep another from running."""
        JUNIT.mkdir(parents=True, exist_ok=True)
        pool = concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE)
        try:
            waiting = [pool.submit(self.run_phase, phase) for phase in self.phases]
            for done in concurrent.futures.as_completed(waiting):
                self.results.append(done.result())
                self.tell(self.results[-1])
        except BaseException:
            self.stopped.set()
            process.end_all()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            self.remove_hosts()
        order = {phase.name: number for number, phase in enumerate(self.phases)}
        return sorted(self.results, key=lambda result: order[result.phase.name])

    def run_phase(self, phase: Phase) -> Result:
        """Run the commands of a phase until one fails."""
        started = time.monotonic()
        if phase.junit:
            phase.junit.unlink(missing_ok=True)
        reason = self.first_failure(phase)
        tests = count(phase.junit) if phase.junit else Count()
        if not reason and tests.failed:
            reason = f"{tests.failed} tests failed or were skipped"
        if not reason and phase.junit and tests == Count():
            reason = "no test ran"
        return Result(phase, not reason, time.monotonic() - started, tests, reason)

    def first_failure(self, phase: Phase) -> str:
        """Run the commands and say which one failed how; empty if none did."""
        environment = {**bootstrap.tool_environment(), **phase.env}
        for number, command in enumerate(phase.commands):
            if self.stopped.is_set():
                return "interrupted"
            log = phase.log if number == 0 else phase.log.with_suffix(f".{number}.log")
            status = process.run(command, log, env=environment, cwd=phase.cwd)
            if number > 0:
                with phase.log.open("a") as whole:
                    whole.write(log.read_text())
                log.unlink()
            if status != 0:
                return f"`{Path(command[0]).name} …` ended with {status}"
        return ""

    def tell(self, result: Result) -> None:
        """One line about a phase that is over, and the end of its log if it failed."""
        mark = "✓" if result.passed else "✗"
        tests = f"  {result.tests.passed} passed, {result.tests.failed} failed" if result.phase.junit else ""
        elapsed = time.monotonic() - self.started
        print(
            f"  {mark} {result.phase.name:<18} {result.seconds:6.1f} s{tests}   (at {elapsed:.0f} s)",
            flush=True,
        )
        if not result.passed:
            print(self.explain(result))
            print(f"    Repeat just this: scripts/test --only {result.phase.name}", flush=True)

    @staticmethod
    def explain(result: Result) -> str:
        """The tests that failed, or, if it was not a test, the end of the log."""
        log = shown(result.phase.log)
        failed = failures(result.phase.junit) if result.phase.junit else []
        if not failed:
            return f"    {result.reason}; the end of {log}:\n{process.tail(result.phase.log)}"
        shown_ones = [f"      {line}" for line in failed[:MOST_SHOWN]]
        rest = [f"      … and {len(failed) - MOST_SHOWN} more"] if len(failed) > MOST_SHOWN else []
        return "\n".join([f"    {result.reason}; all of it is in {log}:", *shown_ones, *rest])

    def remove_hosts(self) -> None:
        """Take down the hosts of the scenarios that were run; quick where Molecule has done it itself."""
        names = [name for phase in self.phases for name in phase.runs]
        if names:
            process.ignore_signals()
        for name in names:
            remove_run(name)


def remove_run(name: str) -> None:
    """Take a run of the test bed down, also a half-made one."""
    command = [bootstrap.find_python(), str(TESTBED), "down", name]
    status = process.run(command, LOGS / f"down-{name}.log")
    if status != 0:
        print(f"  hosts of {name} are not all gone: {shown(LOGS / f'down-{name}.log')}", flush=True)


def clear_earlier() -> None:
    """Forget the logs and counts of an earlier run: nothing of it may be taken for this one's."""
    for directory in (JUNIT, LOGS):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    os.utime(CACHE)


def report(results: list[Result], seconds: float) -> str:
    """The table and the closing line."""
    rows = [f"{'phase':<18} {'result':<7} {'passed':>7} {'failed':>7} {'seconds':>8}"]
    for result in results:
        outcome = "ok" if result.passed else "FAILED"
        rows.append(
            f"{result.phase.name:<18} {outcome:<7} {result.tests.passed:>7} {result.tests.failed:>7} "
            f"{result.seconds:>8.1f}"
        )
    total = sum((result.total for result in results), Count())
    rows.append(f"\nAfter {seconds:.0f} s; each phase is counted as one more test.")
    rows.append(f"{total.passed} passed, {total.failed} failed")
    return "\n".join(rows)
