"""Backups on a host of their own: made there and from there, sealed, and out of reach of the database host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from shared.backups import Backups
from shared.landscape import Landscape
from shared.machine import Machine
from shared.playbook import Playbook
from shared.sql import Endpoints

TLS = "/etc/pgbackrest/tls"
# What openssl puts before what it encrypts with a passphrase.
SEALED = "Salted__"
REPOSITORY = "/var/lib/pgbackrest"


@pytest.fixture(scope="module")
def first_backup(backups: Backups) -> str:
    """The unit that a run starts and does not wait for has made a first backup."""
    backups.keeper.sh(
        "while systemctl show -p ActiveState --value backup@full | grep -q activating; do sleep 0.2; done",
        timeout=180,
    )
    found = json.loads(
        backups.pgbackrest(backups.keeper, "--output=json", "--log-level-console=error", "info")
    )
    return str(found[0]["backup"][0]["label"])


def test_backup_is_made_on_the_backup_host(backups: Backups, first_backup: str) -> None:
    report = json.loads(backups.keeper.sh("bundle-backup incr --format json 2>/dev/null", timeout=180))
    assert report["level"] == "ok"
    metrics = {metric["name"]: metric for metric in report["metrics"]}
    assert metrics["bundle_backup_success"]["value"] == 1
    assert metrics["bundle_backup_success"]["labels"] == {"kind": "incr", "repository": "1"}


def test_database_host_makes_no_backup_and_says_where_it_is_made(backups: Backups) -> None:
    assert "run it on the host that has the repository" in backups.database.sh("bundle-backup full", ok=(2,))


def test_dump_is_made_from_there(backups: Backups) -> None:
    report = json.loads(backups.keeper.sh("bundle-backup dump --format json 2>/dev/null", timeout=120))
    assert report["level"] == "ok"
    newest = backups.keeper.sh("ls -d /var/backups/*/*_*Z | tail -n 1")
    assert backups.keeper.sh(f"cd {newest} && sha256sum --quiet --check SHA256SUMS") == ""


def test_database_lets_the_backup_role_in_from_there_over_tls_alone(
    backups: Backups, landscape: Landscape
) -> None:
    user, name = landscape.value("bundle_backup_user"), landscape.value("bundle_database")
    way = f"host={backups.database.address} user={user} dbname={name} passfile=/etc/bundle/backup.pgpass"
    ask = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    psql = "cd / && runuser -u postgres -- psql -XAt"
    assert backups.keeper.sh(f"{psql} '{way} sslmode=require' -c '{ask}'") == "t"
    said = backups.keeper.sh(f"{psql} '{way} sslmode=disable' -c '{ask}' 2>&1", ok=(2,))
    assert "no pg_hba.conf entry" in said


def test_wal_arrives_there(backups: Backups) -> None:
    backups.arrives(backups.switch())


def test_everything_in_the_repository_is_sealed(backups: Backups, first_backup: str) -> None:
    script = f"find {REPOSITORY} -type f -exec sh -c 'head -c 8 \"$1\"; echo \" $1\"' sh {{}} ';'"
    files = backups.keeper.sh(script).splitlines()
    assert len(files) > 5
    assert [line for line in files if not line.startswith(SEALED)] == []


def test_nothing_can_be_read_with_another_passphrase(backups: Backups, first_backup: str) -> None:
    words = "PGBACKREST_REPO1_CIPHER_PASS=another pgbackrest --config-include-path=/mnt"
    said = backups.keeper.sh(
        f"cd / && runuser -u postgres -- env {words} --stanza={backups.stanza} info 2>&1 | tr -cd '\\n -~'"
    )
    # What it could not unseal it takes for JSON that is broken.
    assert re.search(r"CryptoError|FormatError|JsonFormatError", said), said
    assert first_backup not in said


def test_passphrase_is_on_the_backup_host_alone(backups: Backups, landscape: Landscape) -> None:
    secret = landscape.value("vault_backup_passphrase")
    found = {
        machine.name: machine.sh(
            f"grep -rl '{secret}' /etc /var/lib/postgresql /var/lib/bundle-backup", ok=(0, 1, 2)
        )
        for machine in landscape.machines.values()
    }
    there = found.pop(backups.keeper.name)
    assert "/etc/pgbackrest/conf.d/secrets.conf" in there
    assert [text for text in found.values() if text.startswith("/")] == []


STRANGER = "/var/lib/postgresql/stranger"
KEY = [f"--repo1-host-cert-file={STRANGER}.crt", f"--repo1-host-key-file={STRANGER}.key"]


@pytest.fixture(scope="module")
def stranger(backups: Backups) -> Iterator[None]:
    """A key that nobody knows, with a certificate that claims to be the database host's."""
    subject = f"-subj /CN={backups.database.address}"
    backups.database.sh(
        f"cd / && runuser -u postgres -- openssl req -x509 -newkey rsa:2048 -nodes {subject} "
        f"-keyout {STRANGER}.key -out {STRANGER}.crt 2>&1"
    )
    yield
    backups.database.sh(f"rm {STRANGER}.*")


def test_stranger_is_not_let_in(backups: Backups, stranger: None, first_backup: str) -> None:
    """From the database host, whose address the firewall lets in."""
    said = backups.pgbackrest(backups.database, *KEY, "--io-timeout=2", "info", timeout=60, ok=(0, 1))
    assert re.search(r"access denied|unknown ca", said), said
    assert first_backup not in said


def test_nobody_gets_a_shell(backups: Backups) -> None:
    for machine in (backups.database, backups.keeper):
        assert not machine.host.file("/var/lib/postgresql/.ssh/authorized_keys").exists


def test_key_of_a_host_is_on_that_host_alone(backups: Backups) -> None:
    keys = [machine.sh(f"sha256sum <{TLS}/host.key") for machine in (backups.database, backups.keeper)]
    assert keys[0] != keys[1]
    for machine in (backups.database, backups.keeper):
        assert machine.sh(f"ls {TLS}").split() == ["host.crt", "host.key", "peer.crt"]
        assert machine.sh(f"stat -c '%U:%G %a' {TLS}/host.key") == "root:postgres 640"


def test_database_host_is_restored_from_there(backups: Backups, sql: Endpoints, first_backup: str) -> None:
    revision = sql.superuser("SELECT version_num FROM alembic_version")
    backups.arrives(backups.switch())
    with backups.restored(backups.database, "--type=default") as restored:
        assert restored("SELECT version_num FROM alembic_version") == revision


def test_heartbeat_is_on_the_database_host_and_the_jobs_on_the_other(backups: Backups) -> None:
    def jobs(machine: Machine) -> set[str]:
        return set(re.findall(r"\S+\.service", machine.sh("cat /etc/cron.d/bundle-backup")))

    assert "heartbeat.service" in jobs(backups.database)
    assert {"backup@full.service", "backup@dump.service"} <= jobs(backups.keeper)
    assert jobs(backups.database) & jobs(backups.keeper) == set()


def test_two_backup_hosts_are_refused_with_the_one_that_would_be_used(playbook: Playbook) -> None:
    run = playbook.run("playbooks/preflight.yml", backup_hosts=["bak1", "db1"])
    assert run.status != 0
    said = " ".join(run.output.split())
    assert "backup_hosts = bak1, db1: one host, since there is one repository; bak1 would have it" in said
    assert run.changed == []
