"""What runs begins anew, or takes in another setting or certificate, and no request fails of it."""

from __future__ import annotations

import json
import ssl

import pytest

from shared.landscape import Landscape
from shared.load import UnderLoad
from shared.machine import Machine
from shared.playbook import Playbook
from shared.product import Product
from shared.web import Web

RESTART = "playbooks/restart.yml"
RESTART_POSTGRESQL = "postgresql : restart | Restart PostgreSQL"
RESTART_POOLER = "pgbouncer : restart | Restart pgBouncer"
RUN_POOLER = "pgbouncer : service | Run pgBouncer with the configuration on disk"
LOCK = "/srv/intowork/deploy.lock"


def processes(machine: Machine, product: Product) -> dict[str, str]:
    """The main process of each service; of the product's, that of the colour that serves."""
    units = ("postgresql@15-main", "pgbouncer", product.unit(product.colour))
    return {unit: machine.sh(f"systemctl show --property=MainPID --value {unit}") for unit in units}


@pytest.fixture(scope="module")
def machine(database: Machine) -> Machine:
    """The one host."""
    return database


def test_check_mode_says_what_would_restart_and_touches_nothing(
    playbook: Playbook, machine: Machine, product: Product
) -> None:
    before = processes(machine, product)
    run = playbook.must(RESTART, "--check")
    assert [task for task in run.changed if task.startswith(("postgresql", "pgbouncer"))] == [
        RESTART_POSTGRESQL,
        RESTART_POOLER,
    ]
    assert f"would begin anew as {product.idle_colour}" in run.output
    assert processes(machine, product) == before


def test_an_unknown_part_is_refused_with_those_that_there_are(playbook: Playbook) -> None:
    run = playbook.run(RESTART, restart_only="redis")
    assert run.status != 0
    assert 'restart_only is "redis"; it can be postgresql, pgbouncer, api' in " ".join(run.output.split())


def test_nothing_restarts_while_a_deploy_holds_the_lock(
    playbook: Playbook, machine: Machine, product: Product
) -> None:
    before = processes(machine, product)
    holder = dict.fromkeys(("controller", "machine", "boot", "pid", "started", "user", "since"), "elsewhere")
    lock = json.dumps({**holder, "purpose": "deploying release 0123456789ab"})
    machine.sh(f"cat > {LOCK} <<'EOF'\n{lock}\nEOF")
    try:
        run = playbook.run(RESTART)
    finally:
        machine.sh(f"rm {LOCK}")
    assert run.status != 0
    assert f"Another run holds {LOCK}: elsewhere on elsewhere" in run.output
    assert "deploying release 0123456789ab" in run.output
    assert processes(machine, product) == before


def test_pgbouncer_restarts(
    playbook: Playbook, machine: Machine, product: Product, under_load: UnderLoad
) -> None:
    before = processes(machine, product)
    with under_load("pgBouncer restarts"):
        run = playbook.must(RESTART, restart_only="pgbouncer")
    after = processes(machine, product)
    assert run.changed == [RESTART_POOLER]
    assert {unit for unit in before if before[unit] != after[unit]} == {"pgbouncer"}


def test_postgresql_and_the_api_restart(
    playbook: Playbook, machine: Machine, product: Product, under_load: UnderLoad
) -> None:
    state, before = product.state(), processes(machine, product)
    with under_load("PostgreSQL and then the API restart"):
        playbook.must(RESTART, restart_only=["postgresql", "api"])
    after = processes(machine, product)
    assert before["pgbouncer"] == after["pgbouncer"]
    assert before["postgresql@15-main"] != after["postgresql@15-main"]
    assert product.state() == {**state, "colour": {"blue": "green", "green": "blue"}[state["colour"]]}
    assert not machine.is_running(product.unit(product.idle_colour))
    assert machine.sh(f"ls {LOCK} 2>/dev/null", ok=(2,)) == ""


def test_pgbouncer_restarts_for_a_setting(
    playbook: Playbook, machine: Machine, under_load: UnderLoad
) -> None:
    with under_load("pgBouncer restarts for a setting"):
        run = playbook.must("playbooks/provision.yml", pgbouncer_listen_address="0.0.0.0")
    assert run.changed == ["pgbouncer : configure | Render the configuration", RUN_POOLER]
    assert "0.0.0.0:6432" in machine.sh("ss --listening --tcp --numeric")


def test_a_certificate_is_renewed(
    playbook: Playbook, machine: Machine, landscape: Landscape, web: Web, under_load: UnderLoad
) -> None:
    """Its file is exchanged, as a client of ACME does, and HAProxy takes it in; then the one from before again."""
    file = f"/etc/haproxy/certs/self-signed-{landscape.value('bundle_domain')}.pem"
    machine.sh(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=renewed"
        f" -keyout /tmp/renewed.key -out /tmp/renewed.crt 2>&1; cp -p {file} /tmp/before.pem;"
        f" cat /tmp/renewed.crt /tmp/renewed.key > {file}.new; mv {file}.new {file}; rm /tmp/renewed.key"
    )
    with under_load("certificates are renewed"):
        try:
            run = playbook.must("playbooks/provision.yml", haproxy_certificate=file)
            assert ssl.get_server_certificate((web.address, 443)) == machine.sh("cat /tmp/renewed.crt") + "\n"
        finally:
            machine.sh(f"mv /tmp/before.pem {file}; systemctl reload haproxy; rm /tmp/renewed.crt")
    assert "haproxy : service | Run HAProxy with the configuration on disk" in run.changed
    assert web.get("/health").status == 200
