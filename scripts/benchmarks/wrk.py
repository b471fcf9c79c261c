"""Load from wrk: many requests at once, the answers that failed, and how long they took."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import Host

# wrk itself tells no 95th percentile, and would not stop at a status that is not 2xx or 3xx.
SCRIPT = """
local requests = {}
local thread_number = 0
function setup(thread) thread:set("number", thread_number); thread_number = thread_number + 1 end
function init(args)
  math.randomseed(7302026 + number)
  for line in io.lines(os.getenv("BENCH_REQUESTS")) do
    local path, token = line:match("^(%S+)%s*(%S*)$")
    -- Headers of one's own take the place of all of wrk's; without Host a strict parser answers 400.
    local headers = { Host = wrk.headers["Host"] }
    if token ~= "" then headers["Authorization"] = "Bearer " .. token end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
end
function request() return requests[math.random(#requests)] end
function done(summary, latency, per_thread)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "seconds": %f, "failed": %d, "refused": %d, "p50": %f, "p95": %f, "p99": %f, "max": %f}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
"""


@dataclass(frozen=True)
class Load:
    """What came of a load.

    Attributes:
        requests: how many were answered.
        seconds: how long it went on.
        failed: connections refused or lost, and answers that did not come in time.
        refused: answers with a status of 400 or more.
        p50, p95, p99, max: milliseconds from a request to its whole answer.
    """

    requests: int
    seconds: float
    failed: int
    refused: int
    p50: float
    p95: float
    p99: float
    max: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def load(
    origin: str,
    requests: Sequence[tuple[str, str]],
    *,
    connections: int,
    seconds: int,
    threads: int = 1,
    timeout_seconds: int = 10,
) -> Load:
    """Ask for `requests` (path, token or nothing) at random over `connections` that stay open, for `seconds`.

    Raises:
        BenchmarkError: if wrk is not on this machine, or cannot begin.
    """
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk makes the load and is not on this machine: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="bench-wrk-") as name:
        script, listed = Path(name) / "load.lua", Path(name) / "requests"
        script.write_text(SCRIPT)
        listed.write_text("".join(f"{path} {token}\n" for path, token in requests))
        done = subprocess.run(
            [
                *(
                    "wrk",
                    f"-t{threads}",
                    f"-c{connections}",
                    f"-d{seconds}s",
                    f"--timeout={timeout_seconds}s",
                ),
                *("--script", str(script), origin),
            ],
            env={"PATH": "/usr/bin:/bin", "BENCH_REQUESTS": str(listed)},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 60,
        )
    if done.returncode != 0:
        raise BenchmarkError(f"wrk {origin} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return parse(done.stdout)


def parse(output: str) -> Load:
    """What came of a load, from what wrk printed: its own report, and then our line.

    Raises:
        BenchmarkError: if the line is not there.
    """
    last = (output.strip().splitlines() or [""])[-1]
    if not last.startswith('{"requests"'):
        raise BenchmarkError(f"wrk printed no figures; the end of its output:\n{output[-2000:]}")
    return Load(**json.loads(last))


def on_host(host: Host, origin: str, path: str, *, connections: int, seconds: int) -> Load:
    """As `load`, for one path, by a wrk on the host's first core.

    Raises:
        BenchmarkError: if it cannot begin.
    """
    output = host.run(
        f"printf '%s\\n' '{path}' >/tmp/bench.requests\ncat >/tmp/bench.lua <<'END_OF_FILE'{SCRIPT}END_OF_FILE\n"
        f"BENCH_REQUESTS=/tmp/bench.requests taskset -c 0 wrk -t1 -c{connections} -d{seconds}s"
        f" --script /tmp/bench.lua {origin}"
    )
    return parse(output)
