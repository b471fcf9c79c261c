"""server: how the service is best run. Requests a second of one worker on one core, for each event loop and
HTTP parser, and of the product's routes against a bare framework's "hello", which is the limit.

wrk, pgBouncer and PostgreSQL use the other core.
"""

from __future__ import annotations

import argparse
import statistics

from scripts.benchmarks.product import Product, need, running_product
from scripts.benchmarks.report import Report, compare
from scripts.benchmarks.wrk import Load, on_host

SUMMARY = "uvicorn's loops and parsers, and the product's routes against a bare framework's hello"
PORT = 9001
HELLO = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
"""
VARIANTS = {
    "uvloop, httptools": "--loop uvloop --http httptools",
    "uvloop, h11": "--loop uvloop --http h11",
    "asyncio, httptools": "--loop asyncio --http httptools",
    "asyncio, h11": "--loop asyncio --http h11",
}
CHOSEN = "uvloop, httptools"
ROUTES = {"root": "/", "job list": "/api/jobs", "job list of 100": "/api/jobs?limit=100"}


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
    report = Report("server", "hello")
    with running_product(keep=options.keep) as product:
        product.fill(20_000, 20_000)
        prepare(product)
        rates: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for variant, words in VARIANTS.items():
                for what, application, path in cases(variant):
                    found = serve(product, application, words, path, options.seconds)
                    rates.setdefault((variant, what), []).append(found.per_second)
            print("a round is done", flush=True)
    limit = rates[CHOSEN, "hello"]
    for (variant, what), measured in rates.items():
        report.rows.append(compare(f"{what}, {variant}", limit, measured, "a second"))
        report.details[f"{what}, {variant}"] = measured
    best = max(VARIANTS, key=lambda variant: statistics.median(rates[variant, "job list"]))
    report.notes.append(f"the job list is quickest with {best}")
    return report


def cases(variant: str) -> list[tuple[str, str, str]]:
    """(name, application, path) to measure for a variant; all routes only for the chosen one."""
    made = [("hello", "hello:app", "/hello"), ("job list", "app.main:app", "/api/jobs")]
    if variant == CHOSEN:
        made += [(what, "app.main:app", path) for what, path in ROUTES.items() if what != "job list"]
    return made


def prepare(product: Product) -> None:
    """Put the load and the bare application on the host."""
    product.host.run("apt-get install -q -y --no-install-recommends wrk util-linux >/dev/null")
    product.host.run(f"install -d /srv/bench && cat >/srv/bench/hello.py <<'END_OF_FILE'{HELLO}END_OF_FILE")


def serve(product: Product, application: str, words: str, path: str, seconds: int) -> Load:
    """Run one worker on the second core, ask it from the first, stop it."""
    product.host.run(
        "systemd-run --quiet --collect --unit=bench-server --property=CPUAffinity=1 --uid=intowork"
        " --property=EnvironmentFile=/etc/intowork/$(readlink /srv/intowork/current).env"
        " --setenv=PYTHONPATH=/srv/bench --working-directory=/srv/intowork/current/source"
        f" /srv/intowork/current/venv/bin/uvicorn {application} --port {PORT} --no-access-log {words}"
    )
    try:
        product.host.run(
            f"for _ in $(seq 100); do curl -sf -o /dev/null http://127.0.0.1:{PORT}{path} && exit 0; sleep 0.1; done;"
            " systemctl status bench-server >&2; exit 1"
        )
        origin = f"http://127.0.0.1:{PORT}"
        on_host(product.host, origin, path, connections=8, seconds=2)
        found = on_host(product.host, origin, path, connections=8, seconds=seconds)
    finally:
        product.host.run("systemctl stop bench-server")
    need(found.failed + found.refused == 0, f"{application}{path}: {found.failed + found.refused} failed")
    return found
