"""A release that cannot serve gets no request: the one before it serves throughout, and the message says what to do."""

from __future__ import annotations

import pytest

from shared.load import Load, plan
from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Change, Newer, Releases, migration
from shared.sql import Endpoints
from shared.standing import Unharmed, standing
from shared.web import Web

DEPLOY = "playbooks/deploy.yml"
# A busy host's own releases need a few seconds; these never get there.
READY_SECONDS = 8
ANSWERS = """

_served = app


async def app(scope, receive, send):
    if scope["type"] != "http" or not scope["path"].startswith("{path}"):
        return await _served(scope, receive, send)
    await send({{"type": "http.response.start", "status": {status}, "headers": []}})
    await send({{"type": "http.response.body", "body": b"it is all wrong"}})
"""


@pytest.fixture
def answers(releases: Releases) -> dict[str, str]:
    """The application's main module, as it is: the newest release may be one that cannot start."""
    return {"app/main.py": releases.read("app/main.py", of="base")}


def test_a_release_with_two_heads_is_refused_with_the_command_that_joins_them(
    playbook: Playbook, sql: Endpoints, newer: Newer, unharmed: Unharmed
) -> None:
    last = sql.superuser("SELECT version_num FROM alembic_version")
    heads = migration("fa1200000001", last, "pass") | migration("fa1200000002", last, "pass")
    with unharmed("a release has two heads"):
        run = playbook.run(DEPLOY, **newer("two-heads", files=heads))
    run.says("the release has 2 heads: fa1200000001", 'alembic merge -m "merge" fa1200000001 fa1200000002')


def test_a_release_that_cannot_start_is_refused_with_the_end_of_its_journal(
    playbook: Playbook, product: Product, newer: Newer, unharmed: Unharmed
) -> None:
    broken = newer("cannot-start", files={"app/main.py": 'raise RuntimeError("it cannot start")\n'})
    with unharmed("a release that cannot start is refused"):
        run = playbook.run(DEPLOY, api_ready_timeout=READY_SECONDS, **broken)
    run.says("it cannot start", f"Release {product.release} still serves", "Correct the cause")
    assert product.last_deployment["outcome"] == "failed"


def test_a_release_that_imports_but_never_becomes_ready_is_refused_and_its_schema_undone(
    playbook: Playbook, product: Product, newer: Newer, answers: dict[str, str], unharmed: Unharmed
) -> None:
    answers["app/main.py"] += ANSWERS.format(path="/health/ready", status=503)
    change = Change("fa1200000003", 'op.execute("CREATE TABLE early (id integer)")', 'op.drop_table("early")')
    with unharmed("a release that fails its health check is refused"):
        run = playbook.run(
            DEPLOY, api_ready_timeout=READY_SECONDS, **newer("never-ready", change, files=answers)
        )
    run.says(
        f"did not become ready as {product.idle_colour}",
        "says status 503: it is all wrong",
        f"Release {product.release} still serves",
        "The schema is back at revision",
    )


def test_a_release_that_becomes_ready_and_then_answers_500_gets_no_request(
    playbook: Playbook, product: Product, newer: Newer, answers: dict[str, str], unharmed: Unharmed
) -> None:
    answers["app/main.py"] += ANSWERS.format(path="/api/", status=500)
    with unharmed("a release becomes ready and then answers 500"):
        run = playbook.run(DEPLOY, **newer("answers-500", files=answers))
    run.says(
        f"became ready as {product.idle_colour}, but",
        "/api/jobs?limit=1 says status 500: it is all wrong. No request has reached it.",
        f"Release {product.release} still serves",
    )


def test_a_release_that_fails_requests_once_it_has_them_gives_them_back(
    playbook: Playbook,
    product: Product,
    sql: Endpoints,
    web: Web,
    people: None,
    candidate: str,
    newer: Newer,
    answers: dict[str, str],
) -> None:
    # Nothing that is tried before the shift asks for it.
    answers["app/main.py"] += ANSWERS.format(path="/api/profile", status=500)
    before = standing(product, sql, web)
    with Load(plan(web.address, web.domain, candidate, rate=60)) as load:
        run = playbook.run(DEPLOY, **newer("fails-later", files=answers))
    run.says(
        f"Release {product.last_deployment['release']} was not deployed. watch | Read what was answered, or see it "
        "answered as before: It fails: ",
        f"Release {product.release} still serves",
    )
    assert standing(product, sql, web) == before
    # It had the requests for a moment, or this test would show nothing.
    assert 5 <= load.report.failed < load.report.requests / 4


def test_the_next_run_with_a_good_release_goes_through(
    playbook: Playbook, product: Product, newer: Newer
) -> None:
    before = product.release
    playbook.must(DEPLOY, **newer("good", files={"app/note.py": '"""A release that serves."""\n'}))
    assert product.release != before
    assert product.record["previous"]["release"] == before
