"""queries: what indexes, full text and keyset pages are worth to the product's own statements, and what the
indexes cost those who write, on the same 100,000 jobs and 1,000,000 applications.

Indexes are dropped inside a transaction that is rolled back, so both sides of a ratio see the same rows in the
same minute. The seconds are the server's own (EXPLAIN ANALYZE), without network and client.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass

from scripts.benchmarks.product import Product, running_product
from scripts.benchmarks.report import Report, compare

SUMMARY = "indexes, full text and keyset pages against doing without, and what indexes cost writers"
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
# Of later revisions, for the list's order, for titles and for places.
LATER = (
    "idx_jobs_published_posted_at_id",
    "idx_jobs_title_search",
    "idx_jobs_location_trigram",
    "idx_jobs_created_at_id",
)
WRITTEN = {
    "job_applications": "INSERT INTO {table} (job_id, candidate_id, cv_url) SELECT 1 + random() * {jobs},"
    " 1 + random() * {candidates}, '/cv/1.pdf' ON CONFLICT DO NOTHING;",
    "jobs": "INSERT INTO {table} (employer_id, company_id, title, description, job_type, location_type, status,"
    " location, posted_at) SELECT 1 + random() * {employers}, 1 + random() * {companies},"
    " 'Senior Nurse ' || (random() * 1000)::int, 'Work', 'full_time', 'remote', 'published', 'Lyon', now();",
}


@dataclass(frozen=True)
class Side:
    """One way to ask: a statement, with these indexes dropped."""

    statement: str
    without: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs (default 100,000)")
    parser.add_argument(
        "--applications", type=int, default=1_000_000, help="applications (default 1,000,000)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--write-seconds", type=int, default=8, help="of each load that writes (default 8)")
    parser.add_argument("--keep", action="store_true", help="leave the host running")


def measure(options: argparse.Namespace) -> Report:
    """Run the benchmark.

    Raises:
        BenchmarkError: if the host cannot be made, or a statement fails.
    """
    report = Report("queries", "without")
    with running_product(keep=options.keep) as product:
        product.fill(options.jobs, options.applications)
        for what, (plain, ours) in comparisons(product).items():
            rounds = [(seconds(product, plain), seconds(product, ours)) for _ in range(options.rounds)]
            row = compare(what, [a for a, _ in rounds], [b for _, b in rounds], "ms")
            report.rows.append(row)
            print(f"{what:<58} {row.baseline:8.2f} → {row.ours:6.3f} ms, {1 / row.ratio:,.0f} ×", flush=True)
            report.notes.append(f"{what}: {1 / row.ratio:,.1f} × as fast")
        for table in WRITTEN:
            rounds = [written(product, table, options, reverse=n % 2 == 1) for n in range(options.rounds)]
            row = compare(
                f"inserts into {table} a second", [a for a, _ in rounds], [b for _, b in rounds], "tps"
            )
            report.rows.append(row)
            print(f"{row.what}: {row.ratio:.2f} of what a table without them takes", flush=True)
    return report


def comparisons(product: Product) -> dict[str, tuple[Side, Side]]:
    """What is compared: the plain way and ours."""
    candidate = product.people("candidate", 1)[0][0]
    middle = product.superuser(
        "SELECT candidate_id FROM job_applications GROUP BY 1 ORDER BY abs(count(*) - 20) LIMIT 1"
    )
    every = (*CRITICAL, *LATER)
    place = listed(product, location_type="hybrid")
    deep = "SELECT posted_at, id FROM jobs WHERE status = 'published' ORDER BY posted_at DESC, id DESC"
    position = product.superuser(f"{deep} OFFSET 19979 LIMIT 1").split("|")
    page = "SELECT id, title, posted_at FROM jobs WHERE status = 'published'"
    order = "ORDER BY posted_at DESC, id DESC"
    search = listed(product, search="electrician")
    both = {
        "job search, published and hybrid, first page": (Side(place, every), Side(place)),
        "job search, published and hybrid, only h8c2d6e5f4g3 apart": (Side(place, CRITICAL), Side(place)),
    }
    for what, statement in {
        "published jobs of a company": listed(product, company_id=77),
        "applications of a candidate, of 20": "SELECT * FROM job_applications"
        f" WHERE candidate_id = {int(middle)} AND deleted_at IS NULL ORDER BY applied_at DESC, id DESC LIMIT 21",
        "applications of the busiest candidate by status": "SELECT * FROM job_applications"
        f" WHERE candidate_id = {candidate} AND status = 'interview' ORDER BY applied_at DESC, id DESC LIMIT 21",
        "applications of a job by status": "SELECT status, count(*) FROM job_applications WHERE job_id = 4242"
        " GROUP BY status",
    }.items():
        both[what] = (Side(statement, CRITICAL), Side(statement))
    both["title search, ILIKE against full text"] = (
        Side(f"{page} AND title ILIKE '%electrician%' {order} LIMIT 21", ()),
        Side(search),
    )
    both["rare word in titles, ILIKE against full text"] = (
        Side(f"{page} AND title ILIKE '%lead astronomer%' {order} LIMIT 21"),
        Side(listed(product, search="lead astronomer")),
    )
    both["page 1,000, OFFSET against keyset"] = (
        Side(f"{page} {order} OFFSET 19980 LIMIT 20"),
        Side(f"{page} AND (posted_at, id) < ('{position[0]}', {int(position[1])}) {order} LIMIT 20"),
    )
    return both


def listed(product: Product, **query: object) -> str:
    """The statement of the list with these filters, as the release itself makes it."""
    return product.python(
        "from sqlalchemy.dialects.postgresql import psycopg\nfrom app.api.jobs import LIST, JobFilter, list_values\n"
        f"made = LIST.bindparams(**list_values(JobFilter(**{query!r})))\n"
        "compiled = made.compile(dialect=psycopg.dialect(), compile_kwargs={'literal_binds': True})\n"
        "print(str(compiled).replace('%%', '%'))"
    )


def seconds(product: Product, side: Side) -> float:
    """Milliseconds of one side: the median of five, after one that warms up."""
    drop = f"DROP INDEX {', '.join(side.without)};" if side.without else ""
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {side.statement};"
    output = product.script(f"BEGIN; {drop} {explain * 6} ROLLBACK;")
    decoder = json.JSONDecoder()
    found, rest = [], output.strip()
    while rest:
        plan, end = decoder.raw_decode(rest)
        found.append(float(plan[0]["Execution Time"]))
        rest = rest[end:].strip()
    return statistics.median(found[1:])


def written(
    product: Product, table: str, options: argparse.Namespace, *, reverse: bool
) -> tuple[float, float]:
    """Rows a second into a copy of `table` with its primary key only, and into one with all of its indexes."""
    counts = {
        name: int(product.superuser(f"SELECT count(*) FROM {name}")) - 1
        for name in ("jobs", "candidates", "employers", "companies")
    }
    result: dict[str, float] = {}
    for name, including in sorted({"bare": "", "whole": " INCLUDING INDEXES"}.items(), reverse=reverse):
        copy = f"bench_{name}"
        product.superuser(f"DROP TABLE IF EXISTS {copy}")
        product.superuser(
            f"CREATE TABLE {copy} (LIKE {table} INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING CONSTRAINTS{including})"
        )
        if not including:
            product.superuser(f"ALTER TABLE {copy} ADD PRIMARY KEY (id)")
        product.superuser(f"INSERT INTO {copy} SELECT * FROM {table}")
        product.superuser(
            f"SELECT setval(pg_get_serial_sequence('{copy}', 'id'), (SELECT max(id) FROM {copy}))"
        )
        product.superuser(f"VACUUM ANALYZE {copy}")
        product.superuser("CHECKPOINT")
        statement = WRITTEN[table].format(table=copy, **counts)
        output = product.host.run(
            f"cat >/tmp/bench.sql <<'END_OF_SQL'\n{statement}\nEND_OF_SQL\n"
            f"chmod 0644 /tmp/bench.sql; runuser -u postgres -- /usr/lib/postgresql/15/bin/pgbench -n -c 4"
            f" -M prepared -T {options.write_seconds} -f /tmp/bench.sql intowork"
        )
        result[name] = float(output.split("tps = ")[1].split()[0])
        product.superuser(f"DROP TABLE {copy}")
    return result["bare"], result["whole"]
