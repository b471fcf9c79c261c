"""Which release belongs to a restored database, and when it may not serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from real_module import run

OLD, NEW = "aaa111", "bbb222"
REVISION = 'revision = "{}"\ndown_revision = {!r}\n\ndef upgrade(): pass\n\ndef downgrade(): pass\n'


class Host:
    """The product's directory on an API host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "deployments.jsonl"

    def stage(self, release: str, *revisions: str) -> None:
        """Keep a release with these revisions, each after the one before."""
        source = self.root / "releases" / release / "source"
        (source / "alembic/versions").mkdir(parents=True)
        (source / "alembic.ini").write_text("[alembic]\nscript_location = alembic\n")
        for revision, before in zip(revisions, [None, *revisions], strict=False):
            (source / f"alembic/versions/{revision}.py").write_text(REVISION.format(revision, before))
        (source.parent / "manifest.json").write_text("{}")

    def serve(self, release: str, revision: str) -> None:
        """Note that a release was deployed."""
        pair = {"release": release, "revision": revision}
        (self.root / "record.json").write_text(json.dumps({"pair": pair}))
        with self.log.open("a") as log:
            log.write(json.dumps({**pair, "outcome": "deployed"}) + "\n")

    def ask(self, revision: str, **options: Any) -> dict[str, Any]:
        """What the module says."""
        return run("restored_release", root=str(self.root), log=str(self.log), revision=revision, **options)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which two releases have served, the newer one with one revision more."""
    made = Host(tmp_path)
    made.stage(OLD, "a1")
    made.serve(OLD, "a1")
    made.stage(NEW, "a1", "a2")
    made.serve(NEW, "a2")
    return made


def test_database_at_the_revision_that_serves_may_serve(host: Host) -> None:
    said = host.ask("a2")
    assert (said["problems"], said["belongs"], said["activate"]) == ([], NEW, "")


def test_older_release_takes_over_before_the_switch_as_it_lives_with_the_newer_schema(host: Host) -> None:
    said = host.ask("a1")
    assert (said["problems"], said["belongs"], said["activate"]) == ([], OLD, "before")
    assert "the restored database is at revision a1, and release bbb222, which serves, is at a2".lower() in (
        said["says"].lower()
    )
    assert "Release aaa111, which served with it, takes over before the switch" in said["says"]


def test_newer_release_takes_over_after_the_switch_as_it_needs_the_newer_schema(host: Host) -> None:
    host.serve(OLD, "a1")
    said = host.ask("a2")
    assert (said["problems"], said["belongs"], said["activate"]) == ([], NEW, "after")


def test_release_that_serves_stays_when_somebody_wants_it(host: Host) -> None:
    said = host.ask("a1", other_revision=True)
    assert (said["problems"], said["activate"]) == ([], "")
    assert "After the switch: forward, ansible-playbook playbooks/deploy.yml" in said["says"]
    assert "back, ansible-playbook playbooks/rollback.yml -e release_to=aaa111" in said["says"]


def test_database_at_a_revision_that_no_release_knows_never_serves(host: Host) -> None:
    (problem,) = host.ask("z9", other_revision=True)["problems"]
    assert "No release that is staged on this host knows z9" in problem


def test_release_that_is_not_here_any_more_does_not_belong(host: Host) -> None:
    (host.root / "releases" / OLD / "manifest.json").unlink()
    said = host.ask("a1")
    assert (said["belongs"], said["activate"]) == ("", "")
    assert "add -e restore_other_revision=yes" in said["problems"][0]
    assert "rollback.yml" not in said["problems"][0]


def test_before_the_first_deploy_every_database_may_serve(tmp_path: Path) -> None:
    said = Host(tmp_path).ask("a1")
    assert said["problems"] == []
    assert "site.yml deploys one" in said["says"]


def test_damaged_record_stops_the_restore(host: Host) -> None:
    (host.root / "record.json").write_text("{")
    said = host.ask("a1")
    assert said["failed"]
    assert "Nothing was switched" in said["msg"]
