"""Before anything but the first release has served."""

from __future__ import annotations

from shared.playbook import Playbook
from shared.standing import Unharmed


def test_a_rollback_with_no_previous_release_is_refused(playbook: Playbook, unharmed: Unharmed) -> None:
    with unharmed("a rollback with no previous release"):
        run = playbook.run("playbooks/rollback.yml")
    run.says(
        "Nothing was rolled back.",
        "there is no previous release: only one has ever served here",
        "take the database back with playbooks/restore.yml",
    )
