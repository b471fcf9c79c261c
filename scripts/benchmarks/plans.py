"""How PostgreSQL answers a statement: its plans, and those of the product's hot paths at full size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from scripts.benchmarks.product import Product

# One of these read from one end to the other takes longer the longer the product is in use.
GROWING = frozenset({"jobs", "job_applications", "notifications", "users", "candidates"})
# Runs as the live release. Prints the statements of its routes with the values of the busiest people.
HOT_PATHS = """
import json
from sqlalchemy.dialects.postgresql import psycopg
from app.api import applications, dashboard, jobs, notifications, reviewing
from app.api.job_details import OwnJobFilter, details_statement, own_jobs_statement

busy = json.loads({busy!r})

def sql(statement, **values):
    bound = statement.bindparams(**values) if values else statement
    made = bound.compile(dialect=psycopg.dialect(), compile_kwargs={{"literal_binds": True}})
    return str(made).replace("%%", "%")

def listed(**given):
    return sql(jobs.LIST, **jobs.list_values(jobs.JobFilter(**given)))

def mine(**given):
    page = applications.ApplicationFilter(**given)
    return sql(applications.MINE, candidate_id=busy["candidate"], status=page.status, **page.position())

print(json.dumps({{
    "job list": listed(),
    "job list, by kind of place": listed(location_type="remote"),
    "job list, by kind of place and place": listed(location_type="hybrid", location="Lyon"),
    "job list, of a company": listed(company_id=busy["company"]),
    "job list, by a rare word": listed(search="sommelier"),
    "job list, by a common word": listed(search="senior"),
    "a job": sql(details_statement(busy["job"])),
    "my applications": mine(),
    "my applications, by status": mine(status="applied"),
    "applications received for a job": sql(reviewing.received_statement(busy["job"], reviewing.ReceivedFilter())),
    "an employer's own jobs": sql(own_jobs_statement(busy["employer"], OwnJobFilter())),
    "dashboard": sql(dashboard.DASHBOARD, employer_id=busy["employer"]),
    "status breakdown": sql(dashboard.BREAKDOWN, employer_id=busy["employer"], job_id=None),
    "notifications": sql(notifications.list_statement(busy["user"], notifications.NotificationFilter())),
    "unread notifications": sql(notifications.unread_statement(busy["user"])),
}}))
"""
BUSIEST = """
SELECT json_build_object(
    'candidate', (SELECT candidate_id FROM job_applications GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1),
    'job', (SELECT job_id FROM job_applications GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1),
    'employer', (SELECT employer_id FROM jobs GROUP BY 1 ORDER BY sum(applications_count) DESC, 1 LIMIT 1),
    'company', (SELECT company_id FROM jobs GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1),
    'user', (SELECT user_id FROM notifications GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1))
"""


def hot_paths(product: Product) -> dict[str, str]:
    """The statements of the routes that are asked for most, for those with the most rows."""
    busy = product.superuser(BUSIEST.replace("\n", " "))
    statements: dict[str, str] = json.loads(product.python(HOT_PATHS.format(busy=busy)))
    return statements


def plans(product: Product, statements: Sequence[str], without: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Run statements in one transaction, which is rolled back, with these indexes dropped; how each was answered."""
    drop = f"DROP INDEX {', '.join(without)};" if without else ""
    explained = "".join(
        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement};" for statement in statements
    )
    rest = product.script(f"BEGIN; {drop} {explained} ROLLBACK;").strip()
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    while rest:
        (plan,), end = decoder.raw_decode(rest)
        found.append(plan)
        rest = rest[end:].strip()
    return found


def in_one_line(plan: dict[str, Any]) -> str:
    """What is read, in the plan's order: "Index Scan idx_a of jobs, Index Scan companies_pkey of companies"."""
    reads = []
    for node in nodes(plan["Plan"]):
        if "Relation Name" in node or "Index Name" in node:
            named = [node["Node Type"], *([node["Index Name"]] if "Index Name" in node else [])]
            reads.append(
                " ".join(named + ([f"of {node['Relation Name']}"] if "Relation Name" in node else []))
            )
    return ", ".join(reads)


def read_whole(plan: dict[str, Any]) -> set[str]:
    """The growing tables that the plan reads from one end to the other."""
    return {
        node["Relation Name"] for node in nodes(plan["Plan"]) if node["Node Type"].endswith("Seq Scan")
    } & GROWING


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and all below it."""
    yield node
    for inner in node.get("Plans", []):
        yield from nodes(inner)
