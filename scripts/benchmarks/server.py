"""server: how the service is best run. For each event loop, HTTP parser, number of workers and way to write JSON,
the requests that it answers in a second of CPU that it uses, which is what one core gives it, against a bare
framework's "hello" as the limit.

The service has the second core. wrk, pgBouncer and PostgreSQL use the first one, and the live colour is stopped. Only
for several workers the service may use both. A second of the service's own CPU is the measure since others on the
machine cannot take that away.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.bench_applications import HELLO, VARIANTS
from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.product import Product, need, running_product
from scripts.benchmarks.report import Report, compare
from scripts.benchmarks.wrk import on_host
from scripts.support.paths import VENV

SUMMARY = "uvicorn's loops, parsers and workers, ways to write JSON, against a bare framework's hello"
PORT = 9001
DIRECTORY = "/srv/bench"
TICKS_PER_SECOND = 100  # USER_HZ on Linux, whatever the kernel's own
PINNED = "--property=CPUAffinity=1"
PRODUCT = "app.main:app"


@dataclass(frozen=True)
class Case:
    """One way to run an application, and what it is asked for."""

    application: str
    path: str
    loop: str = "uvloop"
    http: str = "httptools"
    workers: int = 1
    both_cores: bool = False


LIMIT = "hello of FastAPI"
LIST = "job list"
ONE_CORE = {
    LIMIT: Case("hello:app", "/hello"),
    "hello without a framework": Case("hello:bare", "/hello"),
    LIST: Case(PRODUCT, "/api/jobs"),
    "job list of 100": Case(PRODUCT, "/api/jobs?limit=100"),
    "front door": Case(PRODUCT, "/"),
    "job list, uvloop and h11": Case(PRODUCT, "/api/jobs", http="h11"),
    "job list, asyncio and httptools": Case(PRODUCT, "/api/jobs", loop="asyncio"),
    "job list, asyncio and h11": Case(PRODUCT, "/api/jobs", loop="asyncio", http="h11"),
    "hello of FastAPI, uvloop and h11": Case("hello:app", "/hello", http="h11"),
    "hello of FastAPI, asyncio and httptools": Case("hello:app", "/hello", loop="asyncio"),
    "hello of FastAPI, asyncio and h11": Case("hello:app", "/hello", loop="asyncio", http="h11"),
    "job list, by its response model": Case("variants:app", "/bench/model"),
    "job list, by the standard library's json": Case("variants:app", "/bench/json"),
    "job list, by orjson": Case("variants:app", "/bench/orjson"),
    "job list of 100, by its response model": Case("variants:app", "/bench/model?limit=100"),
    "job list of 100, by the standard library's json": Case("variants:app", "/bench/json?limit=100"),
    "job list of 100, by orjson": Case("variants:app", "/bench/orjson?limit=100"),
}
BOTH_CORES = {
    f"job list, {workers} worker{'s' * (workers > 1)}": Case(
        PRODUCT, "/api/jobs", workers=workers, both_cores=True
    )
    for workers in (1, 2, 4)
}


@dataclass(frozen=True)
class Rate:
    """Requests answered, in a second and in a second of CPU that the service used."""

    a_second: float
    a_cpu_second: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=5, help="of each load (default 5)")
    parser.add_argument("--keep", action="store_true", help="leave the host running")


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if the host cannot be made, or a request is refused.
    """
    report = Report("server", LIMIT)
    rates: dict[str, list[Rate]] = {}
    with running_product(keep=options.keep) as product:
        product.fill(20_000, 20_000)
        prepare(product)
        for number in range(options.rounds):
            for what, case in {**ONE_CORE, **BOTH_CORES}.items():
                rates.setdefault(what, []).append(serve(product, case, options.seconds))
            print(f"round {number + 1} is done", flush=True)
    tell(report, rates)
    return report


def tell(report: Report, rates: dict[str, list[Rate]]) -> None:
    """Make the report's rows of what was measured in each round."""
    limit = [rate.a_cpu_second for rate in rates[LIMIT]]
    for what in ONE_CORE:
        if what != LIMIT:
            own = [rate.a_cpu_second for rate in rates[what]]
            report.rows.append(compare(what, limit, own, "a CPU s"))
    one = [rate.a_second for rate in rates[next(iter(BOTH_CORES))]]
    for what in BOTH_CORES:
        own = [rate.a_second for rate in rates[what]]
        row = compare(f"{what}, both cores, against one", one, own, "a second")
        report.rows.append(row)
        of_cpu = statistics.median(rate.a_cpu_second for rate in rates[what])
        report.notes.append(
            f"{what}: {row.ours:,.0f} a second, {of_cpu:,.0f} in a second of the service's CPU"
        )
    report.details = {what: [vars(rate) for rate in found] for what, found in rates.items()}


def prepare(product: Product) -> None:
    """Put the load and the applications on the host, and everything else on the first core.

    Raises:
        BenchmarkError: if orjson cannot be had, or something stays on the service's core.
    """
    host = product.host
    host.run("apt-get install -q -y --no-install-recommends curl wrk util-linux >/dev/null")
    host.run(f"install -d {DIRECTORY}")
    with tempfile.TemporaryDirectory(prefix="bench-server-") as name:
        directory = Path(name)
        (directory / "hello.py").write_text(HELLO)
        (directory / "variants.py").write_text(VARIANTS)
        fetched = [str(VENV / "bin" / "python"), "-m", "pip", "download", "--quiet", "--no-deps"]
        fetched += ["--only-binary=:all:", f"--dest={directory}", "orjson>=3.10,<4"]
        done = subprocess.run(fetched, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"orjson, which the product is compared with, cannot be had: {done.stderr}")
        for file in directory.iterdir():
            host.put(file, f"{DIRECTORY}/{file.name}")
    host.run(f"cd {DIRECTORY} && python3 -m zipfile -e orjson-*.whl . && rm orjson-*.whl && chmod -R a+rX .")
    host.run("systemctl stop 'intowork-api@*'")
    # New backends have their postmaster's core. -a is for threads; each process is named.
    host.run(
        "for unit in postgresql@15-main pgbouncer; do"
        " main=$(systemctl show --property=MainPID --value $unit); test $main -gt 0;"
        " for pid in $main $(pgrep -P $main); do taskset -acp 0 $pid >/dev/null || test ! -e /proc/$pid; done;"
        " test $(taskset -cp $main | sed 's/.*: //') = 0 || exit 1; done"
    )


def serve(product: Product, case: Case, seconds: int) -> Rate:
    """Run the application, ask it from the first core, stop it."""
    host = product.host
    words = f"--loop {case.loop} --http {case.http} --workers {case.workers}"
    host.run(
        f"systemd-run --quiet --collect --unit=bench-server {'' if case.both_cores else PINNED} --uid=intowork"
        " --property=EnvironmentFile=/etc/intowork/$(readlink /srv/intowork/current).env"
        f" --setenv=PYTHONPATH={DIRECTORY} --working-directory=/srv/intowork/current/source"
        f" /srv/intowork/current/venv/bin/uvicorn {case.application} --port {PORT} --no-access-log {words}"
    )
    origin = f"http://127.0.0.1:{PORT}"
    try:
        # As many answers at once as there are workers do not say that all are there, but the first load does.
        host.run(
            f"for _ in $(seq 300); do curl -sf -o /dev/null {shlex.quote(origin + case.path)} && exit 0;"
            " sleep 0.1; done;"
            " systemctl status bench-server >&2; exit 1"
        )
        on_host(host, origin, case.path, connections=8, seconds=3)
        before = cpu_seconds(product)
        found = on_host(host, origin, case.path, connections=8, seconds=seconds)
        used = cpu_seconds(product) - before
    finally:
        host.run("systemctl stop bench-server")
    need(found.failed + found.refused == 0, f"{case}: {found.failed} failed, {found.refused} refused")
    return Rate(found.per_second, found.requests / used)


def cpu_seconds(product: Product) -> float:
    """What the processes of the service have used so far."""
    ticks = product.host.run(
        "main=$(systemctl show --property=MainPID --value bench-server);"
        " for pid in $main $(pgrep -P $main); do cat /proc/$pid/stat; done"
    )
    return sum(used_ticks(line) for line in ticks.splitlines()) / TICKS_PER_SECOND


def used_ticks(stat: str) -> int:
    """utime and stime of a line of /proc/PID/stat (proc(5)): the 12th and 13th word after the name."""
    words = stat.rpartition(")")[2].split()
    return int(words[11]) + int(words[12])
