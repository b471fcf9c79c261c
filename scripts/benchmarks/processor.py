"""Who used the processors meanwhile: the measured cluster and its client, or the rest of the machine.

On a busy machine the transactions per second say as much about the others as about the settings; the
transactions per CPU second of the cluster do not.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.cluster import BenchmarkError

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far: of the server, of our own ended children, of the whole machine."""

    server: float
    client: float
    machine: float
    at: float

    def others_since(self, earlier: Usage) -> float:
        """Return the share of the machine's CPU time (0 to 1) that went to other programs since `earlier`."""
        own = self.server - earlier.server + self.client - earlier.client
        available = (self.at - earlier.at) * (os.cpu_count() or 1)
        return max(0.0, (self.machine - earlier.machine - own) / available)


def usage(postmaster: int) -> Usage:
    """Read the usage now; `postmaster` is the process id of a running cluster."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(
        server=_server(postmaster),
        client=children.ru_utime + children.ru_stime,
        machine=_machine(),
        at=time.monotonic(),
    )


def wait_for_quiet(share: float, seconds: float) -> None:
    """Wait until all programs together take less than `share` (0 to 1) of the CPUs for two seconds.

    Raises:
        BenchmarkError: if that does not happen within `seconds`.
    """
    deadline = time.monotonic() + seconds
    processors = os.cpu_count() or 1
    while time.monotonic() < deadline:
        busy, began = _machine(), time.monotonic()
        time.sleep(2)
        taken = (_machine() - busy) / ((time.monotonic() - began) * processors)
        if taken < share:
            return
    raise BenchmarkError(
        f"the machine has not been quiet (less than {share:.0%} of its CPUs busy) for {seconds:.0f} s; "
        "end what runs beside the benchmark, or allow more with --quiet"
    )


def _server(postmaster: int) -> float:
    """Sum the postmaster, what it has reaped, and its living children."""
    fields = _stat(f"/proc/{postmaster}/stat")
    ticks = sum(fields[11:15])
    for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        try:
            ticks += sum(_stat(f"/proc/{pid}/stat")[11:13])
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended since; it is in the postmaster's sum the next time
    return ticks / TICKS


def _stat(path: str) -> list[int]:
    """Return the numbers of /proc/PID/stat after the name, utime at 11 and stime at 12 (proc(5))."""
    after_name = Path(path).read_text().rpartition(")")[2].split()
    return [0, *(int(number) for number in after_name[1:])]


def _machine() -> float:
    """Return the CPU seconds that all processors were busy since boot."""
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
        int(number) for number in Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS
