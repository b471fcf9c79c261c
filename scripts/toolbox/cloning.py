"""A clone of the live data, for a rehearsal: restored to the end of the archive, thrown away when that is over.

It listens on one port of this host, and lets in from the API hosts, over TLS and by their live passwords, the roles
with which a release migrates and serves. Nobody is a superuser there but postgres of this host, through a socket of its
own. It never archives, and is removed by itself after a while, should whoever started it be gone.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolbox import contents, drilling, pgbackrest
from toolbox.cluster import Clone, ClusterError
from toolbox.settings import Settings
from toolbox.targets import Target

COMMAND = "/usr/local/sbin/bundle-clone"
SERVER_UNIT, REMOVAL_UNIT = "bundle-clone-server", "bundle-clone-removal"


def clone_of(known: Settings) -> Clone:
    """The clone, whether it is there or not."""
    place = known.clone_directory
    return Clone(replace(known, port=known.clone_port), place / "data", place / "private", unit=SERVER_UNIT)


def remove(known: Settings) -> None:
    """Remove it, and what a start leaves that was killed, by a power cut too; nothing happens where there is nothing.

    Raises:
        ClusterError: something could not be removed.
    """
    systemctl("stop", f"{REMOVAL_UNIT}.timer")
    clone_of(known).remove()


def start(known: Settings, seconds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Restore it and let the API hosts in; it goes by itself after `seconds`. Returns what is known of it.

    Raises:
        ClusterError, WindowError, PgbackrestError, OSError: it could not be made, and nothing of it is left.
    """
    remove(known)
    course = drilling.choose(known, Target("latest"))
    clone = clone_of(known)
    try:
        go_by_itself(seconds)
        with course.step("restore"):
            _, backup = drilling.recover(clone, course, tell)
            clone.promote()
            clone.stop()
        with course.step("open"):
            clone.start(settings=door(known, clone))
            clone.wait_until_it_answers()
        there = contents.look(clone.connect, known.database, known.version_table)
        if not there.rows:
            raise ClusterError(f"{backup.label} has no database {known.database}, or no table is in it")
    except BaseException:
        remove(known)
        raise
    return {
        "address": known.clone_address,
        "port": clone.port,
        "database": known.database,
        "revision": there.revision,
        "backup": backup.label,
        "bytes": there.bytes,
        "seconds": course.seconds,
    }


def door(known: Settings, clone: Clone) -> dict[str, str]:
    """Write who may come in, and a certificate of its own; returns PostgreSQL's settings for it."""
    rules = clone.private / "clients_hba.conf"
    clone.write(rules, "\n".join(hba(known)) + "\n")
    key, certificate = clone.private / "server.key", clone.private / "server.crt"
    words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    command = ["openssl", *words, "-subj", "/CN=clone", "-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(
        [*pgbackrest.as_user(), *command], check=False, capture_output=True, text=True, cwd="/"
    )
    if done.returncode:
        raise ClusterError(f"no certificate could be made for the clone: {done.stderr.strip()}")
    return {
        "listen_addresses": known.clone_address,
        "hba_file": str(rules),
        "ssl": "on",
        "ssl_key_file": str(key),
        "ssl_cert_file": str(certificate),
    }


def hba(known: Settings) -> list[str]:
    """The lines of pg_hba.conf: the socket's directory is of postgres alone."""
    hosts = [ipaddress.ip_network(address) for address in known.clone_clients]
    return [
        "local all all trust",
        *(
            f'hostssl "{known.database}" "{role}" {host} scram-sha-256'
            for role in known.clone_roles
            for host in hosts
        ),
    ]


def go_by_itself(seconds: int) -> None:
    """Have it removed after a while: a controller that was killed does not come back to do it."""
    if not Path("/run/systemd/system").is_dir():
        return
    words = ["--quiet", "--collect", f"--unit={REMOVAL_UNIT}", f"--on-active={seconds}"]
    done = subprocess.run(
        ["systemd-run", *words, "--", COMMAND, "remove"], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ClusterError(f"no timer could be set to remove the clone: {done.stderr.strip()}")


def systemctl(verb: str, unit: str) -> None:
    """Stop a unit that may not be there."""
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", verb, unit], check=False, capture_output=True)
