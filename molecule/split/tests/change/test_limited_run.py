"""A run that is limited to the proxy does not take servers out of use that it did not ask."""

from __future__ import annotations

from shared.landscape import Landscape
from shared.machine import Machine
from shared.playbook import Playbook
from shared.traffic import Requests
from shared.web import Web

CONFIG = "sha256sum /etc/haproxy/haproxy.cfg"


def test_run_on_the_proxy_alone_is_refused_with_what_to_do_and_the_service_still_answers(
    playbook: Playbook, web: Web, proxy: Machine, landscape: Landscape
) -> None:
    apis = landscape.groups["api"]
    before = proxy.sh(CONFIG)
    with Requests(web) as requests:
        run = playbook.run("site.yml", "--limit", proxy.name)
    assert run.status != 0
    assert f"nobody has asked {', '.join(apis)} which colour" in " ".join(run.output.split())
    assert f"--limit {','.join([proxy.name, *apis])}" in run.output
    assert run.changed == []
    assert requests.failures == []
    assert web.get("/health").status == 200
    assert proxy.sh(CONFIG) == before


def test_run_does_as_that_message_says(
    playbook: Playbook, web: Web, proxy: Machine, landscape: Landscape
) -> None:
    with Requests(web) as requests:
        run = playbook.must("site.yml", "--limit", ",".join([proxy.name, *landscape.groups["api"]]))
    assert run.changes == 0
    assert requests.failures == []
    assert web.get("/health").status == 200
