"""Where a rollback goes, and what is in its way, all of it before anything is touched."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from throwaway import Server

from product import Product

sys.path.append(str(Path(__file__).resolve().parents[2] / "plugins"))

from real_module import run

OLD, NEW = "aaa111", "bbb222"


class Host:
    """The product's directory on an API host, with releases made of a project as it is at that moment."""

    def __init__(self, root: Path, product: Product) -> None:
        self.root, self.product = root, product
        self.log = root / "deployments.jsonl"
        root.mkdir()

    def stage(self, release: str) -> None:
        """Keep the project as the source of a release."""
        directory = self.root / "releases" / release
        shutil.copytree(self.product.folder, directory / "source")
        (directory / "manifest.json").write_text("{}")

    def serve(self, release: str, revision: str) -> None:
        """Note that a release was deployed, and let it serve."""
        path = self.root / "record.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        pair = {"release": release, "revision": revision}
        path.write_text(json.dumps({"pair": pair, "previous": before.get("pair")}))
        with self.log.open("a") as log:
            log.write(json.dumps({**pair, "outcome": "deployed"}) + "\n")
        for link, target in (("current", "blue"), ("blue", f"releases/{release}")):
            (self.root / link).unlink(missing_ok=True)
            (self.root / link).symlink_to(target)

    def plan(self, **options: Any) -> dict[str, Any]:
        """What the module says."""
        known = {"root": str(self.root), "log": str(self.log), "database_url": self.product.url}
        return run("rollback_plan", **{**known, **options})


@pytest.fixture
def host(tmp_path: Path, product: Product) -> Host:
    """A host on which the newer release serves, with one revision more than the one before."""
    made = Host(tmp_path / "srv", product)
    product.table("a1", "users")
    made.stage(OLD)
    made.serve(OLD, "a1")
    product.table("b2", "jobs")
    made.stage(NEW)
    made.serve(NEW, "b2")
    product.run()
    return made


def test_the_pair_before_is_where_it_goes(host: Host) -> None:
    plan = host.plan()
    assert plan["problems"] == []
    assert plan["target"] == {"release": OLD, "revision": "a1"}
    assert (plan["serving"], plan["colour"]) == ({"release": NEW, "revision": "b2"}, "blue")
    assert (plan["direction"], [one["revision"] for one in plan["revisions"]]) == ("down", ["b2"])


def test_a_release_without_migrations_leaves_the_schema(host: Host, server: Server) -> None:
    host.serve(OLD, "b2")
    host.serve(NEW, "b2")
    assert (host.plan()["direction"], host.plan()["revisions"]) == ("none", [])


def test_the_way_forward_again_is_run_by_the_newer_code(host: Host, product: Product) -> None:
    product.run(state="downgraded", revision="a1")
    host.serve(OLD, "a1")
    plan = host.plan()
    assert (plan["target"]["release"], plan["direction"]) == (NEW, "up")
    assert [one["revision"] for one in plan["revisions"]] == ["b2"]


def test_a_release_further_back_is_named_by_the_beginning_of_its_name(host: Host, product: Product) -> None:
    product.table("c3", "skills")
    host.stage("ccc333")
    host.serve("ccc333", "c3")
    product.run()
    plan = host.plan(release_to="aaa")
    assert plan["target"] == {"release": OLD, "revision": "a1"}
    assert [one["revision"] for one in plan["revisions"]] == ["c3", "b2"]


def test_only_the_code_goes_back_when_that_is_asked_for(host: Host) -> None:
    plan = host.plan(schema=False)
    assert (plan["target"], plan["direction"]) == ({"release": OLD, "revision": "b2"}, "none")


def only_problem(plan: dict[str, Any]) -> str:
    """The one thing that stands in the way."""
    [problem] = plan["problems"]
    return str(problem)


def test_the_first_release_has_none_before_it(tmp_path: Path, product: Product) -> None:
    product.table("a1", "users")
    made = Host(tmp_path / "srv", product)
    made.stage(NEW)
    made.serve(NEW, "a1")
    assert "there is no previous release" in only_problem(made.plan())


def test_where_nothing_serves_there_is_no_way_back(host: Host) -> None:
    (host.root / "current").unlink()
    assert "no release serves on this host, so there is none to go back from" in only_problem(host.plan())


def test_an_unknown_release_is_answered_with_those_that_there_are(host: Host) -> None:
    assert only_problem(host.plan(release_to="zzz")) == (
        f'release_to "zzz" has never served here. That have served and are still here: {OLD}.'
    )


def test_a_release_that_was_pruned_is_named(host: Host) -> None:
    shutil.rmtree(host.root / "releases" / OLD)
    assert f"release {OLD} is not on this host any more" in only_problem(host.plan())


def test_the_release_that_serves_is_no_way_back(host: Host) -> None:
    assert f"release {NEW} serves already" in only_problem(host.plan(release_to=NEW))


def test_a_downgrade_that_does_nothing_is_refused_before_anything_is_touched(
    tmp_path: Path, product: Product
) -> None:
    made = Host(tmp_path / "srv", product)
    product.table("a1", "users")
    made.stage(OLD)
    made.serve(OLD, "a1")
    product.add("b2", "CREATE TABLE jobs (id integer)", "pass")
    made.stage(NEW)
    made.serve(NEW, "b2")
    product.run()
    problem = only_problem(made.plan())
    assert 'b2 ("make b2")' in problem
    assert "deploy_rollback_schema=false" in problem


def test_a_revision_that_no_release_here_knows_is_said(host: Host, server: Server) -> None:
    server.rows("UPDATE alembic_version SET version_num = 'f00'")
    assert "the database stands at f00, and neither release" in only_problem(host.plan())


def test_a_database_that_is_down_is_said_without_its_password(host: Host, product: Product) -> None:
    url = product.url.replace("@localhost:", "@localhost:1")
    problem = only_problem(host.plan(database_url=url))
    assert "cannot be reached" in problem
    assert "s3cr3t" not in problem


def test_a_damaged_record_is_named(host: Host) -> None:
    (host.root / "record.json").write_text("{")
    plan = host.plan()
    assert plan["failed"]
    assert f"{host.root}/record.json is damaged" in plan["msg"]


def test_a_half_line_of_the_log_is_passed_over(host: Host) -> None:
    with host.log.open("a") as log:
        log.write('{"outcome": "depl')
    assert host.plan(release_to=OLD)["problems"] == []
