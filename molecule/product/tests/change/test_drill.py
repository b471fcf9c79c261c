"""Another product's backups are proven by its own release, by the inventory alone."""

from __future__ import annotations

import json

from shared.backups import Backups
from shared.playbook import Playbook
from shared.product import Product

DRILL = "playbooks/drill.yml"


def test_a_drill_restores_its_database_and_lets_the_release_serve_from_it(
    playbook: Playbook, product: Product, backed_up: Backups
) -> None:
    backed_up.arrives(backed_up.switch())
    playbook.must(DRILL, backup_drill_options=["--time", "latest"])
    newest = "ls /var/lib/bundle-backup/drills/*.json | tail -n 1"
    report = json.loads(backed_up.keeper.sh(f'cat "$({newest})"'))
    said = {finding["subject"]: finding["message"] for finding in report["findings"]}
    assert said["API"] == f"release {product.release} on the restored database: /status: 200, /articles: 200"
    assert said["schema"] == "revision 0002"
    assert report["rows"]["public.articles"] == 3
    assert report["level"] == "ok"
