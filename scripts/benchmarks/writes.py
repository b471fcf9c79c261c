"""What indexes cost those who write: inserts into two copies of a table, with its indexes and without."""

from __future__ import annotations

from scripts.benchmarks.product import Product

TABLES = {
    "job_applications": "INSERT INTO {table} (job_id, candidate_id, cv_url) SELECT 1 + random() * {jobs},"
    " 1 + random() * {candidates}, '/cv/1.pdf' ON CONFLICT DO NOTHING;",
    "jobs": "INSERT INTO {table} (employer_id, company_id, title, description, job_type, location_type, status,"
    " location, posted_at) SELECT 1 + random() * {employers}, 1 + random() * {companies},"
    " 'Senior Nurse ' || (random() * 1000)::int, 'Work', 'full_time', 'remote', 'published', 'Lyon', now();",
}
# LIKE takes neither foreign keys nor triggers.
REST_OF_THE_TABLE = """
SELECT format('ALTER TABLE {copy} ADD %s', pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'f'
UNION ALL
SELECT replace(pg_get_triggerdef(oid), ' ON public.{table} ', ' ON public.{copy} ')
FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal
\\gexec
"""
WARM_UP_SECONDS = 20
# What LIKE takes beside columns, defaults and checks.
COPIES = {"bench_bare": "", "bench_whole": " INCLUDING INDEXES"}


def written(product: Product, table: str, rounds: int, seconds: int) -> list[tuple[float, float]]:
    """Rows a second into a copy of `table` with its primary key only, and into one with all of its indexes.

    Both have its rows, checks, foreign keys and triggers. They take turns, so that a slow moment of the machine
    hits both; who begins changes from round to round.
    """
    counts = {
        name: int(product.superuser(f"SELECT count(*) FROM {name}")) - 1
        for name in ("jobs", "candidates", "employers", "companies")
    }
    for copy, including in COPIES.items():
        make_copy(product, table, copy, including)
    # The first change of a page after a checkpoint writes all of it into the log. Each checkpoint of a server is
    # followed by minutes without that, so a load of seconds has to begin after it.
    product.superuser("CHECKPOINT")
    for copy in COPIES:
        rate(product, TABLES[table].format(table=copy, **counts), WARM_UP_SECONDS)
    found = []
    for number in range(rounds):
        rates = {
            copy: rate(product, TABLES[table].format(table=copy, **counts), seconds)
            for copy in sorted(COPIES, reverse=number % 2 == 1)
        }
        found.append((rates["bench_bare"], rates["bench_whole"]))
    product.superuser(f"DROP TABLE {', '.join(COPIES)}")
    return found


def rate(product: Product, statement: str, seconds: int) -> float:
    """Transactions a second of four sessions that run a statement."""
    output = product.host.run(
        f"cat >/tmp/bench.sql <<'END_OF_SQL'\n{statement}\nEND_OF_SQL\n"
        "chmod 0644 /tmp/bench.sql; runuser -u postgres -- /usr/lib/postgresql/15/bin/pgbench -n -c 4"
        f" -M prepared -T {seconds} -f /tmp/bench.sql intowork"
    )
    return float(output.split("tps = ")[1].split()[0])


def make_copy(product: Product, table: str, copy: str, including: str) -> None:
    """Copy a table with its rows."""
    product.superuser(f"DROP TABLE IF EXISTS {copy}")
    product.superuser(
        f"CREATE TABLE {copy} (LIKE {table} INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING CONSTRAINTS{including})"
    )
    if not including:
        product.superuser(f"ALTER TABLE {copy} ADD PRIMARY KEY (id)")
    product.superuser(f"INSERT INTO {copy} SELECT * FROM {table}")
    product.superuser(f"SELECT setval(pg_get_serial_sequence('{copy}', 'id'), (SELECT max(id) FROM {copy}))")
    product.script(REST_OF_THE_TABLE.format(table=table, copy=copy))
    product.superuser(f"VACUUM ANALYZE {copy}")
