"""What role backup writes, read by pgBackRest itself: for one host, and for each of two."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tls_identity

Render = Callable[..., str]
Value = Callable[..., Any]
ADDRESS = "127.0.0.1"
INVENTORY: dict[str, Any] = {
    "bundle_name": "shop",
    "bundle_backup_stanza": "shop",
    "bundle_database": "shop",
    "bundle_postgresql_port": 5432,
    "bundle_backup_user": "shop_backup",
    "bundle_backup_hosts": ["ops1"],
    "bundle_address": ADDRESS,
    "bundle_backup_peer_address": ADDRESS,
    "bundle_backup_port": 8432,
    "backup_passphrase": "Vq7-pL2x-Tz9d-Kc4m",
    "backup_postgresql_password": "r8Wd-Hn3s-Yb6q-Mz1t",
}
ONE_HOST = {
    "bundle_backup_parts": ["database", "repository"],
    "bundle_backup_peer": "",
    "bundle_backup_peer_address": "",
}
DATABASE = {"bundle_backup_parts": ["database"], "bundle_backup_peer": "ops1"}
REPOSITORY = {"bundle_backup_parts": ["repository"], "bundle_backup_peer": "db1"}
each_layout = pytest.mark.parametrize(
    "layout", [ONE_HOST, DATABASE, REPOSITORY], ids=["one host", "database", "repository"]
)


class Host:
    """A directory with the configuration of a host, and the pgBackRest of this machine that reads it."""

    def __init__(self, directory: Path, render: Render) -> None:
        self.directory, self.render = directory, render
        self.secrets = directory / "conf.d"
        self.secrets.mkdir()
        (directory / "tls").mkdir()
        (directory / "spool").mkdir()

    def write(self, layout: dict[str, Any], **more: Any) -> None:
        """Write the role's files, with paths below the directory."""
        given = {
            **INVENTORY,
            **layout,
            **more,
            "backup_repository_path": str(self.directory / "repository"),
            "__backup_tls": str(self.directory / "tls"),
        }
        text = self.render("backup", "pgbackrest.conf.j2", **given)
        self.config.write_text(text.replace("/var/spool/pgbackrest", str(self.directory / "spool")))
        self.secret_text = self.render("backup", "secrets.conf.j2", **given)
        (self.secrets / "secrets.conf").write_text(self.secret_text)

    def identify(self) -> None:
        """Have a key and a certificate, and those of the other host."""
        tls = self.directory / "tls"
        for name in ("host", "peer"):
            tls_identity.make(tls / f"{name}.key", tls / f"{name}.crt", ADDRESS, os.getgid(), 2)
            # Its group may read it where root has it; here it is this user's.
            (tls / f"{name}.key").chmod(0o600)

    @property
    def config(self) -> Path:
        """Its pgbackrest.conf."""
        return self.directory / "pgbackrest.conf"

    def command(self, *words: str) -> list[str]:
        """The command line of pgBackRest with this configuration."""
        return ["pgbackrest", f"--config={self.config}", f"--config-include-path={self.secrets}", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run pgBackRest and return what it did and said."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PGBACKREST_")}
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, timeout=60, env=environment
        )


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"


@pytest.fixture
def host(tmp_path: Path, render: Render) -> Host:
    return Host(tmp_path, render)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(host: Host, free_port: int) -> Iterator[int]:
    """pgBackRest's server as a repository host runs it; returns its port."""
    host.identify()
    host.write(REPOSITORY, bundle_backup_port=free_port)
    with subprocess.Popen(
        host.command("server"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            yield free_port
        finally:
            process.terminate()


S3 = {
    "backup_s3_bucket": "shop-backups",
    "backup_s3_endpoint": ADDRESS,
    "backup_s3_region": "eu-1",
    "backup_s3_key": "AKIA7",
    "backup_s3_secret": "Jt5k-Rw8x-Vn2b-Lq6y",
    "backup_s3_passphrase": "Mz4c-Fx9g-Wk1t-Dp7s",
}


@each_layout
@pytest.mark.parametrize(
    "store", [{}, S3, S3 | {"backup_s3_ca": "-----BEGIN"}], ids=["", "S3", "S3 with a CA"]
)
def test_pgbackrest_knows_every_option_that_is_written(
    host: Host, layout: dict[str, Any], store: dict[str, str]
) -> None:
    host.write(layout, **store)
    for words in (("--stanza=shop", "help", "backup"), ("--stanza=shop", "--io-timeout=0.1", "info")):
        said = host.run(*words)
        assert "invalid option" not in said.stdout + said.stderr
        assert "configuration file contains" not in said.stdout + said.stderr
        assert "option" not in said.stderr


def test_one_host_has_a_repository_that_is_sealed_and_lets_nobody_in(host: Host) -> None:
    host.write(ONE_HOST)
    text = host.config.read_text()
    assert "repo1-cipher-type=aes-256-cbc" in text
    assert "tls-server" not in text
    assert "-host=" not in text


def test_database_host_asks_the_other_host(host: Host, free_port: int) -> None:
    host.identify()
    host.write(DATABASE, bundle_backup_port=free_port)
    said = host.run("--stanza=shop", "--io-timeout=0.1", "info").stdout
    assert f"unable to connect to '{ADDRESS}:{free_port}'" in said


def test_server_answers_with_the_configuration_of_a_repository_host(host: Host, server: int) -> None:
    until(lambda: host.run("server-ping", f"--tls-server-port={server}", ADDRESS).returncode == 0)


@pytest.mark.parametrize(
    ("layout", "store", "secrets"),
    [
        (ONE_HOST, {}, {"repo1-cipher-pass"}),
        (REPOSITORY, {}, {"repo1-cipher-pass"}),
        (DATABASE, {}, set()),
        (DATABASE, S3, {"repo2-cipher-pass", "repo2-s3-key", "repo2-s3-key-secret"}),
        (REPOSITORY, S3, {"repo1-cipher-pass", "repo2-cipher-pass", "repo2-s3-key", "repo2-s3-key-secret"}),
    ],
    ids=["one host", "repository", "database", "database, S3", "repository, S3"],
)
def test_a_host_has_only_the_secrets_of_what_it_reaches_itself(
    host: Host, value: Value, layout: dict[str, Any], store: dict[str, str], secrets: set[str]
) -> None:
    host.write(layout, **store)
    assert {line.partition("=")[0] for line in host.secret_text.splitlines() if "=" in line} == secrets
    assert value("backup", "__backup_secrets", **{**INVENTORY, **layout, **store}) is bool(secrets)


def test_every_missing_part_of_the_object_store_is_named(value: Value) -> None:
    given = {**INVENTORY, **ONE_HOST, "backup_s3_bucket": "shop-backups", "backup_s3_region": "eu-1"}
    missing = ["backup_s3_endpoint", "backup_s3_key", "backup_s3_secret", "backup_s3_passphrase"]
    assert value("backup", "__backup_s3_missing", **given) == missing


@pytest.mark.parametrize(
    ("layout", "writable"),
    [
        (REPOSITORY, "/var/spool/pgbackrest /var/lib/pgbackrest/archive"),
        (DATABASE, "/var/spool/pgbackrest"),
    ],
    ids=["repository", "database"],
)
def test_server_may_add_to_the_archive_and_change_nothing_else(
    render: Render, layout: dict[str, Any], writable: str
) -> None:
    text = render("backup", "server.conf.j2", **{**INVENTORY, **layout})
    assert f"\nReadWritePaths={writable}\n" in text
    assert "\nProtectSystem=strict\n" in text
