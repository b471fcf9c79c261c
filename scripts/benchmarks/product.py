"""A host with the whole product on it and sample data in it, for benchmarks of what the product answers."""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.cluster import BenchmarkError
from scripts.benchmarks.hosts import Host, fresh_hosts, playbook, write_inventory

HOST = Host("product1", "10.87.9.30")
ORIGIN = f"https://{HOST.address}"
DATABASE = "intowork"


@dataclass(frozen=True)
class Product:
    """The product on `host`."""

    host: Host

    def python(self, code: str) -> str:
        """What Python code prints that runs as the live release, with its settings and rights."""
        return self.host.run(f"intowork-run -c {shlex.quote(code)}")

    def fill(self, jobs: int, applications: int) -> None:
        """Replace all rows by sample data, and look through the tables for the planner."""
        tables = self.superuser(
            "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        )
        self.superuser(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        sizes = f"--jobs {jobs} --applications {applications}"
        self.host.run(f"intowork-run -m app.sample_data {sizes}")
        self.superuser("VACUUM ANALYZE")
        self.superuser("SELECT refresh_employer_job_statistics()")

    def superuser(self, statement: str) -> str:
        """What a statement of PostgreSQL's superuser returns, unaligned and without headings."""
        return self.sql(statement, "-c")

    def script(self, statements: str) -> str:
        """What several statements in one session return."""
        return self.sql(statements, "-f -")

    def sql(self, text: str, how: str) -> str:
        """Run psql on the host; with `-c` or from a here-document."""
        psql = f"psql -X -q -A -t -v ON_ERROR_STOP=1 -d {DATABASE}"
        if how == "-c":
            return self.host.run(f"runuser -u postgres -- {psql} -c {shlex.quote(text)}").strip()
        return self.host.run(f"runuser -u postgres -- {psql} <<'END_OF_SQL'\n{text}\nEND_OF_SQL\n").strip()

    def people(self, role: str, count: int) -> list[tuple[int, str]]:
        """Tokens of the `count` busiest users of a role, as (profile id, token): the worst case for a list.

        Of those who may sign in: some of the sample data may not.
        """
        may_sign_in = "JOIN users u ON u.id = user_id AND u.is_active AND u.deleted_at IS NULL"
        busiest = {
            "candidate": "SELECT c.id, c.user_id FROM candidates c JOIN job_applications a ON a.candidate_id = c.id"
            f" {may_sign_in} GROUP BY c.id ORDER BY count(*) DESC",
            "employer": "SELECT e.id, e.user_id FROM employers e JOIN jobs j ON j.employer_id = e.id"
            f" {may_sign_in} GROUP BY e.id ORDER BY sum(j.applications_count) DESC",
        }[role]
        rows = self.superuser(f"SELECT json_agg(row_to_json(t)) FROM ({busiest} LIMIT {int(count)}) AS t")
        users = [row["user_id"] for row in json.loads(rows)]
        made = self.python(
            "from datetime import timedelta\nfrom app.auth import make_token\nfrom app.settings import settings\n"
            f"for user in {users!r}:\n"
            "    print(make_token(user, settings().jwt_secret.get_secret_value(), timedelta(hours=3)))"
        )
        return [(row["id"], token) for row, token in zip(json.loads(rows), made.split(), strict=True)]


@contextlib.contextmanager
def running_product(*, keep: bool = False) -> Iterator[Product]:
    """A new host with the product on it; gone afterwards.

    Raises:
        BenchmarkError: if it does not boot or site.yml fails.
    """
    with tempfile.TemporaryDirectory(prefix="bench-product-") as name, fresh_hosts(HOST, keep=keep):
        inventory = write_inventory(Path(name) / "inventories", HOST)
        seconds, _ = playbook(inventory, Path(name) / "cache", "site.yml")
        print(f"the product is on its host after {seconds:.0f} s", flush=True)
        yield Product(HOST)


def need(condition: bool, message: str) -> None:
    """Stop the benchmark with `message` unless `condition` holds.

    Raises:
        BenchmarkError: if it does not.
    """
    if not condition:
        raise BenchmarkError(message)
