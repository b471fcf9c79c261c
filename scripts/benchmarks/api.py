"""api: what the product's requests take, through TLS, proxy and pgBouncer, on a host of its own with 100,000
jobs and 1,000,000 applications.

The lists are asked for with many different filters, people and places, so that no answer is just one page in
a cache. Each figure is the 95th percentile over a few connections that ask without pause. The crowd at the end
asks for the same lists, all by GET: it reads, as nearly all of a load does, and writes nothing.
"""

from __future__ import annotations

import argparse
from urllib.parse import urlencode

from scripts.benchmarks.product import ORIGIN, Product, need, running_product
from scripts.benchmarks.report import Report
from scripts.benchmarks.wrk import Load, load

SUMMARY = "the product's requests through proxy and pgBouncer: 95th percentiles, 1,000 clients, growth"
PLACES = ("on_site", "remote", "hybrid")
KINDS = ("full_time", "part_time", "contract", "temporary", "internship")
# Milliseconds for the 95th percentile of a request.
LIMITS = {
    "job list": 25.0,
    "job search by status and location": 20.0,
    "title search, full text": 25.0,
    "applications of a candidate": 15.0,
    "employer dashboard": 50.0,
}
# The list of the most jobs against that of the fewest, and page 1,000 against page 1.
GROWTH_LIMIT = 2.0
DEPTH_LIMIT = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs (default 100,000)")
    parser.add_argument(
        "--applications", type=int, default=1_000_000, help="applications (default 1,000,000)"
    )
    parser.add_argument("--seconds", type=int, default=15, help="of each load (default 15)")
    parser.add_argument("--connections", type=int, default=4, help="at once, for each list (default 4)")
    parser.add_argument("--clients", type=int, default=1000, help="of the last load (default 1000)")
    parser.add_argument("--crowd-seconds", type=int, default=60, help="of the last load (default 60)")
    parser.add_argument(
        "--growth",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[10_000, 1_000_000],
        help="other numbers of jobs for the list's growth (default 10000,1000000)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the host running")


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if the host cannot be made, or a request is refused.
    """
    report = Report("api", "at most")
    with running_product(keep=options.keep) as product:
        sizes: dict[int, Load] = {}
        for jobs in options.growth:
            product.fill(jobs, 10 * min(jobs, options.jobs))
            sizes[jobs] = ask(f"job list of {jobs:,} jobs", list_paths(companies(product)), options)
        product.fill(options.jobs, options.applications)
        found = {what: ask(what, requests, options) for what, requests in topics(product).items()}
        sizes[options.jobs] = found["job list"]
        crowd = ask_as_crowd(product, options)
    judge(report, found, sizes, crowd)
    report.details |= {what: vars(load) for what, load in {**found, "crowd": crowd}.items()}
    report.details["growth"] = {jobs: vars(load) for jobs, load in sizes.items()}
    report.notes.append(
        f"{options.clients} clients for {crowd.seconds:.0f} s, GET only: {crowd.requests:,} answers"
        f" ({crowd.per_second:,.0f} a second), {crowd.failed} failed, {crowd.refused} refused;"
        f" p50 {crowd.p50:.0f} ms, p95 {crowd.p95:.0f} ms, p99 {crowd.p99:.0f} ms, longest {crowd.max:.0f} ms"
    )
    report.notes += [
        f"{jobs:>11,} jobs: list p50 {load.p50:.1f} ms, p95 {load.p95:.1f} ms, {load.per_second:,.0f} a second"
        for jobs, load in sorted(sizes.items())
    ]
    return report


def judge(report: Report, found: dict[str, Load], sizes: dict[int, Load], crowd: Load) -> None:
    """Hold what was measured against the limits.

    Args:
        report: gets the rows, and the misses.
        found: the load of each topic.
        sizes: the load of the list, by the number of jobs.
        crowd: the load of all clients at once.
    """
    for what, limit in LIMITS.items():
        report.at_most(f"{what}, p95", limit, found[what].p95, "ms")
    report.at_most(
        "page 1,000, p95, against page 1", DEPTH_LIMIT * found["page 1"].p95, found["page 1,000"].p95, "ms"
    )
    least, most = min(sizes), max(sizes)
    report.at_most(
        f"job list of {most:,} jobs, p95, against {least:,}",
        GROWTH_LIMIT * sizes[least].p95,
        sizes[most].p95,
        "ms",
    )
    if not crowd.requests or crowd.failed + crowd.refused:
        report.misses.append(
            f"all clients at once: of {crowd.requests:,} answers {crowd.refused} refused, and {crowd.failed}"
            " failed; none was to be"
        )


def ask(what: str, requests: list[tuple[str, str]], options: argparse.Namespace) -> Load:
    """Ask for `requests` with a few connections, once to warm up; none may be refused.

    Raises:
        BenchmarkError: if one is.
    """
    load(ORIGIN, requests, connections=options.connections, seconds=3)
    found = load(ORIGIN, requests, connections=options.connections, seconds=options.seconds)
    need(
        found.failed + found.refused == 0,
        f"{what}: {found.failed} failed and {found.refused} were refused of {found.requests}",
    )
    print(
        f"{what:<36} p50 {found.p50:6.1f}  p95 {found.p95:6.1f}  p99 {found.p99:6.1f} ms"
        f"  {found.per_second:,.0f} a second",
        flush=True,
    )
    return found


def ask_as_crowd(product: Product, options: argparse.Namespace) -> Load:
    """Many clients at once, each with a connection of its own, a mix of what people look at."""
    mixed = [request for what, requests in topics(product).items() if what in LIMITS for request in requests]
    return load(
        ORIGIN,
        mixed,
        connections=options.clients,
        seconds=options.crowd_seconds,
        threads=2,
        timeout_seconds=30,
    )


def topics(product: Product) -> dict[str, list[tuple[str, str]]]:
    """The requests of each topic: (path, token)."""
    cities = product.superuser("SELECT DISTINCT location FROM jobs ORDER BY 1").splitlines()
    words = product.superuser(
        "SELECT DISTINCT word FROM jobs, regexp_split_to_table(lower(title), '\\W+') AS word"
        " WHERE length(word) > 3 ORDER BY 1 LIMIT 40"
    ).splitlines()
    candidates = [token for _, token in product.people("candidate", 200)]
    employers = [token for _, token in product.people("employer", 50)]
    return {
        "job list": list_paths(companies(product)),
        "job search by status and location": [
            (jobs_path(location_type=place, location=city), "") for place in PLACES for city in cities
        ],
        "title search, full text": [(jobs_path(search=word), "") for word in words],
        "applications of a candidate": [
            (f"/api/applications/my/applications{query}", token)
            for token in candidates
            for query in ("", "?status=applied")
        ],
        "employer dashboard": [("/api/dashboard", token) for token in employers],
        "page 1": [("/api/jobs", "")],
        "page 1,000": [(jobs_path(cursor=cursor_of_page(product, 1000)), "")],
    }


def companies(product: Product) -> int:
    """How many companies there are."""
    return int(product.superuser("SELECT count(*) FROM companies"))


def list_paths(companies: int) -> list[tuple[str, str]]:
    """The list as people ask for it: all, or narrowed by kind, place and one of twenty companies."""
    return [
        ("/api/jobs", ""),
        *((jobs_path(location_type=place), "") for place in PLACES),
        *((jobs_path(job_type=kind), "") for kind in KINDS),
        *((jobs_path(location_type=place, job_type=kind), "") for place in PLACES for kind in KINDS),
        *((jobs_path(company_id=number), "") for number in range(1, companies + 1, max(companies // 20, 1))),
    ]


def jobs_path(**query: object) -> str:
    """The list's path with a query."""
    return f"/api/jobs?{urlencode(query)}"


def cursor_of_page(product: Product, page: int) -> str:
    """The cursor for a page of 20, as a client has it that read all pages before."""
    position = product.superuser(
        "SELECT to_char(posted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"'), id FROM jobs"
        f" WHERE status = 'published' ORDER BY posted_at DESC, id DESC OFFSET {page * 20 - 21} LIMIT 1"
    )
    at, row_id = position.split("|")
    return product.python(
        "from datetime import datetime\nfrom app.pages import encode_cursor\n"
        f"print(encode_cursor(datetime.fromisoformat({at!r}), {int(row_id)}))"
    ).strip()
