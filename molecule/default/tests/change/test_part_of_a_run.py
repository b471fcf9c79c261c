"""A run that an operator cuts down by tags does its part, and takes nothing away from who is served."""

from __future__ import annotations

from shared.machine import Machine
from shared.playbook import Playbook
from shared.traffic import Requests
from shared.web import Web

CONFIG = "sha256sum /etc/haproxy/haproxy.cfg"
REFUSE = "haproxy : configure | Refuse to take a server out of use because nobody asked what serves there"


def test_run_of_the_proxys_tag_alone_keeps_the_live_colour(playbook: Playbook, web: Web) -> None:
    with Requests(web) as requests:
        run = playbook.must("site.yml", "--tags", "haproxy")
    assert run.changed == []
    assert requests.failures == []
    assert web.get("/health").status == 200


def test_a_changed_setting_of_the_proxy_goes_out_by_its_tag_and_no_request_fails(
    playbook: Playbook, web: Web, proxy: Machine
) -> None:
    with Requests(web) as requests:
        run = playbook.must("site.yml", "--tags", "haproxy", haproxy_maxconn=3999)
    assert run.changed == [
        "haproxy : configure | Render haproxy.cfg",
        "haproxy : service | Run HAProxy with the configuration on disk",
    ]
    assert requests.failures == []
    assert web.get("/health").status == 200
    assert proxy.sh("grep -c 'maxconn 3999' /etc/haproxy/haproxy.cfg") == "1"


def test_run_that_leaves_out_the_question_what_serves_is_refused_by_the_proxy(
    playbook: Playbook, web: Web, proxy: Machine
) -> None:
    before = proxy.sh(CONFIG)
    with Requests(web) as requests:
        run = playbook.run("site.yml", "--tags", "haproxy", "--skip-tags", "always")
    assert run.status != 0
    assert f"TASK [{REFUSE}]" in run.output
    assert f"nobody has asked {proxy.name}" in run.output
    assert requests.failures == []
    assert proxy.sh(CONFIG) == before


def test_everything_is_looked_at_once_in_a_run_and_the_setting_goes_back(playbook: Playbook) -> None:
    run = playbook.must("site.yml", "--tags", "haproxy")
    looks = run.output.split("TASK [Collect the problems of every host]")[1:]
    assert ["ok: [" in look.partition("TASK [")[0] for look in looks] == [True, False]
    assert "haproxy : configure | Render haproxy.cfg" in run.changed
