"""Figures for Prometheus: of one worker, or of all when they share a directory (PROMETHEUS_MULTIPROC_DIR).

With the directory each worker writes its values to files there, and whichever is asked adds them all up. It
has to be empty when the service starts; the unit gives each colour a new one.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

DIRECTORY = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
if DIRECTORY:
    Path(DIRECTORY).mkdir(parents=True, exist_ok=True)

# Seconds: from an answer out of memory to the longest that a client waits.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "intowork_http_requests",
    "Requests answered; status 499 when the client left first",
    ["method", "route", "status"],
)
SECONDS = Histogram(
    "intowork_http_request_seconds",
    "Seconds until the answer was sent",
    ["method", "route"],
    buckets=BUCKETS,
)
IN_PROGRESS = Gauge(
    "intowork_http_requests_in_progress",
    "Requests being answered",
    multiprocess_mode="livesum",
)
UNAVAILABLE = Counter(
    "intowork_database_unavailable",
    "Requests answered with 503 or 504 for the database's sake, by cause",
    ["cause"],
)
DATABASE_WAIT = Histogram(
    "intowork_database_wait_seconds",
    "Seconds that a request waited for a connection that answers",
    buckets=(0.001, *BUCKETS),
)
POOL = Gauge(
    "intowork_database_pool_connections",
    "Connections of the pool: capacity (most at once), size (most kept), checked_out, overflow (beyond size)",
    ["kind"],
    multiprocess_mode="livesum",
)
WAITING = Gauge(
    "intowork_database_pool_waiting",
    "Requests that wait for a connection",
    multiprocess_mode="livesum",
)
RELEASE = Gauge(
    "intowork_release_info",
    "1 for the release that runs",
    ["release", "environment"],
    multiprocess_mode="livemax",
)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """One request that was answered after `seconds`."""
    requests, durations = _series(method, route, status)
    requests.inc()
    durations.observe(seconds)


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, str(status)), SECONDS.labels(method, route)


def exposition() -> bytes:
    """All figures in Prometheus' text format."""
    if not DIRECTORY:
        return generate_latest()
    forget_dead_workers(Path(DIRECTORY))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=DIRECTORY)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_dead_workers(directory: Path) -> None:
    """Remove the gauges of workers that are gone: uvicorn does not say when one ends. Counters stay."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*.db")}:
        if not _is_worker(pid):
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]


def _is_worker(pid: int) -> bool:
    """Whether `pid` is this process or one beside it; its number may have gone to a stranger."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z" and int(fields[1]) == os.getppid()
