"""Ways back that do not exist. They come last: what the first test brings cannot be undone."""

from __future__ import annotations

from shared.playbook import Playbook
from shared.product import Product
from shared.releases import Change, Newer, Releases
from shared.standing import Unharmed

ROLLBACK, DEPLOY = "playbooks/rollback.yml", "playbooks/deploy.yml"
REVISION = "fa1700000001"


def test_a_rollback_through_a_downgrade_that_does_nothing_is_refused(
    playbook: Playbook, product: Product, newer: Newer, unharmed: Unharmed
) -> None:
    playbook.must(
        DEPLOY, **newer("one-way", Change(REVISION, 'op.execute("CREATE TABLE one_way (id integer)")'))
    )
    with unharmed("a downgrade does nothing"):
        run = playbook.run(ROLLBACK)
    run.says(
        "Nothing was rolled back.",
        f"the schema cannot go back through {REVISION}",
        "Go back with the code alone (-e deploy_rollback_schema=false)",
    )


def test_a_release_that_does_not_know_the_databases_revision_is_refused(
    playbook: Playbook, releases: Releases, unharmed: Unharmed
) -> None:
    with unharmed("the revision is unknown to the release"):
        run = playbook.run(DEPLOY, **releases.named("base"))
    run.says(
        f"the database stands at {REVISION}",
        "A newer release has migrated it: deploy that release or a newer one",
        "playbooks/rollback.yml -e release_to=",
    )
