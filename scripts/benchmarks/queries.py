"""queries: what indexes, full text and keyset pages are worth to the product's own statements, what the indexes cost
those who write, and how each hot path is answered, on the same 100,000 jobs and 1,000,000 applications.

Indexes are dropped inside a transaction that is rolled back, so both sides of a ratio see the same rows in the
same minute. The seconds are the server's own (EXPLAIN ANALYZE), without network and client.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.benchmarks.plans import hot_paths, in_one_line, plans, read_whole
from scripts.benchmarks.product import Product, running_product
from scripts.benchmarks.report import Report, compare
from scripts.benchmarks.writes import TABLES, written

SUMMARY = (
    "indexes, full text and keyset pages against doing without, what indexes cost writers, and all hot plans"
)
# Revision h8c2d6e5f4g3; the two constraints among its objects have no part in these statements.
CRITICAL = (
    "unique_candidate_job_application",
    "idx_jobs_status_location_type",
    "idx_jobs_status_job_type",
    "idx_jobs_company_id_status",
    "idx_jobs_employer_id_status",
    "idx_job_applications_job_id_status",
    "idx_job_applications_candidate_id_status",
    "idx_job_applications_candidate_job",
    "idx_candidates_user_id",
    "idx_skills_candidate_id_name",
    "idx_experiences_candidate_id_current",
    "idx_sessions_expires",
    "idx_password_reset_tokens_expires",
    "idx_verification_tokens_expires",
)
# How many times as fast, and what is left of the rate of inserts.
SELECTIVE_LIMIT = 65.0
TITLE_LIMIT = 20.0
WRITE_LIMIT = 0.85
# Titles that are not in the sample data, by the jobs that get one of them: one in so many.
RARE_TITLES = {"sommelier": 10_000, "glassblower": 1_000, "cartographer": 200}
WORDS = (*RARE_TITLES, "electrician", "senior")
# Of the places that are hybrid, one in so many stays so: a filter that few jobs pass.
RARE_PLACES = 100


@dataclass(frozen=True)
class Side:
    """One way to ask: a statement, with these indexes dropped."""

    statement: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two ways to ask for the same, and how many times as fast ours has to be, if that was promised."""

    what: str
    plain: Side
    ours: Side
    limit: float | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs (default 100,000)")
    parser.add_argument(
        "--applications", type=int, default=1_000_000, help="applications (default 1,000,000)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--write-rounds", type=int, default=12, help="of loads that write (default 12)")
    parser.add_argument("--write-seconds", type=int, default=4, help="of each of them (default 4)")
    parser.add_argument("--keep", action="store_true", help="leave the host running")


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if the host cannot be made, or a statement fails.
    """
    report = Report("queries", "without")
    with running_product(keep=options.keep) as product:
        product.fill(options.jobs, options.applications)
        make_some_rare(product)
        for each in comparisons(product):
            rounds = [
                (milliseconds(product, each.plain), milliseconds(product, each.ours))
                for _ in range(options.rounds)
            ]
            tell(report, each, rounds)
        report.notes.append(crossover(product))
        report.notes.append("How each hot path is answered:")
        for what, statement in hot_paths(product).items():
            (plan,) = plans(product, [statement])
            report.details[f"plan of {what}"] = plan
            report.notes.append(f"  {what}, {plan['Execution Time']:.2f} ms: {in_one_line(plan)}")
            report.misses += [f"{what} reads all of {table}" for table in sorted(read_whole(plan))]
        for table in TABLES:
            inserts = written(product, table, options.write_rounds, options.write_seconds)
            row = compare(
                f"inserts into {table} a second", [a for a, _ in inserts], [b for _, b in inserts], "tps"
            )
            report.rows.append(row)
            report.at_least(
                f"inserts into {table}, all indexes against none", WRITE_LIMIT, row.ratio, "of the rate"
            )
    report.notes.append(
        "Both tables that are written to have the foreign keys, checks and triggers of the real one, and its rows."
    )
    return report


def tell(report: Report, compared: Comparison, rounds: list[tuple[float, float]]) -> None:
    """Make a row of what was measured, and hold it against its limit."""
    row = compare(compared.what, [plain for plain, _ in rounds], [ours for _, ours in rounds], "ms")
    report.rows.append(row)
    times = 1 / row.ratio
    print(f"{row.what:<66} {row.baseline:8.2f} → {row.ours:7.3f} ms, {times:,.1f} ×", flush=True)
    if compared.limit is None:
        report.notes.append(f"{row.what}: {times:,.1f} × as fast")
    else:
        report.at_least(row.what, compared.limit, times, "× as fast")


def make_some_rare(product: Product) -> None:
    """Sample data has only frequent titles and kinds of place; selective filters need some that few jobs have."""
    product.superuser(
        f"UPDATE jobs SET location_type = 'on_site' WHERE location_type = 'hybrid' AND id % {RARE_PLACES} <> 0"
    )
    for rest, (title, one_in) in enumerate(RARE_TITLES.items()):
        product.superuser(f"UPDATE jobs SET title = '{title.capitalize()}' WHERE id % {one_in} = {rest}")
    product.superuser("VACUUM FULL jobs")
    product.superuser("VACUUM ANALYZE jobs")


def comparisons(product: Product) -> Iterator[Comparison]:
    """What is compared: the plain way and ours."""
    later = tuple(
        product.superuser(
            "SELECT indexrelid::regclass FROM pg_index"
            " WHERE indrelid IN ('jobs'::regclass, 'job_applications'::regclass)"
            f" AND NOT indisprimary AND indexrelid::regclass::text <> ALL ('{{{','.join(CRITICAL)}}}')"
        ).split()
    )
    every = (*CRITICAL, *later)
    for what, filters, limit in (
        ("published, hybrid (one job in 360)", {"location_type": "hybrid"}, SELECTIVE_LIMIT),
        ("published, hybrid, in Lyon", {"location_type": "hybrid", "location": "Lyon"}, SELECTIVE_LIMIT),
        ("published, remote (one in 8)", {"location_type": "remote"}, None),
    ):
        asked = listed(product, **filters)
        none = Side(asked, every)
        yield Comparison(f"{what}: only h8c2d6e5f4g3 against none", none, Side(asked, later), limit)
        yield Comparison(f"{what}: all indexes against none", none, Side(asked), limit)
        yield Comparison(f"{what}: all against all but h8c2d6e5f4g3", Side(asked, CRITICAL), Side(asked))
    yield from by_person(product)
    page = "SELECT id, title, posted_at FROM jobs WHERE status = 'published'"
    order = "ORDER BY posted_at DESC, id DESC"
    for word in WORDS:
        ilike = f"{page} AND title ILIKE '%{word}%' {order} LIMIT 21"
        what = f"titles with {word} ({titles_with(product, word):,}), full text against ILIKE"
        limit = TITLE_LIMIT if word == WORDS[0] else None
        yield Comparison(what, Side(ilike), Side(listed(product, search=word)), limit)
    # As the guides had it: nothing has the list's order, so ILIKE reads all titles.
    yield Comparison(
        f"titles with {word}, full text against ILIKE without the list's index",
        Side(ilike, later),
        Side(listed(product, search=word)),
    )
    position = product.superuser(
        f"SELECT posted_at, id FROM jobs WHERE status = 'published' {order} OFFSET 19979 LIMIT 1"
    ).split("|")
    yield Comparison(
        "page 1,000, keyset against OFFSET",
        Side(f"{page} {order} OFFSET 19980 LIMIT 20"),
        Side(f"{page} AND (posted_at, id) < ('{position[0]}', {int(position[1])}) {order} LIMIT 20"),
    )


def by_person(product: Product) -> Iterator[Comparison]:
    """What one person or company asks for, with all indexes against all but those of h8c2d6e5f4g3."""
    busiest = product.people("candidate", 1)[0][0]
    middle = int(
        product.superuser(
            "SELECT candidate_id FROM job_applications GROUP BY 1 ORDER BY abs(count(*) - 20) LIMIT 1"
        )
    )
    for what, statement in {
        "published jobs of a company": listed(product, company_id=77),
        "applications of a candidate, of 20": "SELECT * FROM job_applications"
        f" WHERE candidate_id = {middle} AND deleted_at IS NULL ORDER BY applied_at DESC, id DESC LIMIT 21",
        "applications of the busiest candidate by status": "SELECT * FROM job_applications"
        f" WHERE candidate_id = {busiest} AND status = 'interview' ORDER BY applied_at DESC, id DESC LIMIT 21",
        "applications of a job by status": "SELECT status, count(*) FROM job_applications WHERE job_id = 4242"
        " GROUP BY status",
    }.items():
        yield Comparison(
            f"{what}: all against all but h8c2d6e5f4g3", Side(statement, CRITICAL), Side(statement)
        )


def crossover(product: Product) -> str:
    """From how many titles on a word's first page is quicker by ILIKE, which stops at the twentieth match."""
    order = "ORDER BY posted_at DESC, id DESC LIMIT 21"
    page = "SELECT id, title, posted_at FROM jobs WHERE status = 'published' AND title"
    quicker, slower = 0, None
    for word in sorted(WORDS, key=lambda word: titles_with(product, word)):
        ilike = milliseconds(product, Side(f"{page} ILIKE '%{word}%' {order}"))
        count = titles_with(product, word)
        if milliseconds(product, Side(listed(product, search=word))) <= ilike:
            quicker = count
        elif slower is None:
            slower = count
    if slower is None:
        return "full text is quicker than ILIKE for every word"
    return f"full text is quicker up to {quicker:,} titles, ILIKE's first page from {slower:,} on"


def titles_with(product: Product, word: str) -> int:
    """How many published jobs have the word in their title."""
    return int(
        product.superuser(f"SELECT count(*) FROM jobs WHERE status = 'published' AND title ILIKE '%{word}%'")
    )


def listed(product: Product, **query: object) -> str:
    """The statement of the list with these filters, as the release itself makes it."""
    return product.python(
        "from sqlalchemy.dialects.postgresql import psycopg\nfrom app.api.jobs import LIST, JobFilter, list_values\n"
        f"made = LIST.bindparams(**list_values(JobFilter(**{query!r})))\n"
        "compiled = made.compile(dialect=psycopg.dialect(), compile_kwargs={'literal_binds': True})\n"
        "print(str(compiled).replace('%%', '%'))"
    )


def milliseconds(product: Product, side: Side) -> float:
    """Milliseconds of one side: the median of five, after one that warms up."""
    found = plans(product, [side.statement] * 6, side.without)
    return statistics.median(float(plan["Execution Time"]) for plan in found[1:])
