"""What tells whether a host was touched."""

from __future__ import annotations

from shared.landscape import Landscape
from shared.machine import Machine
from shared.sql import Superuser

# pg_dump writes a random word around its output.
CATALOGS = r"""
cd / && runuser -u postgres -- pg_dumpall --globals-only | grep -v '^\\\(un\)\?restrict '
runuser -u postgres -- pg_dump --schema-only --create {database} | grep -v '^\\\(un\)\?restrict '
"""


def files(machine: Machine) -> str:
    """Checksums of everything in /etc, with owners and modes, a line each."""
    script = r"find /etc -type f -print0 | sort -z | xargs -0 sha256sum; find /etc -printf '%p %u %g %m %l\n' | sort"
    return machine.sh(script, timeout=60)


def catalogs(superuser: Superuser) -> str:
    """The cluster's roles and the database's schema, with all privileges and settings, as SQL."""
    return superuser.machine.sh(CATALOGS.format(database=superuser.database), timeout=60)


def everything(landscape: Landscape) -> dict[str, str]:
    """Files and running services of all hosts, and the catalogs."""
    running = "systemctl list-units --type=service --state=running --no-legend --plain | awk '{print $1}'"
    found = {}
    for machine in landscape.machines.values():
        found[f"/etc of {machine.name}"] = files(machine)
        found[f"services of {machine.name}"] = machine.sh(
            f"for unit in $({running} | grep -E 'intowork|haproxy|pgbouncer|postgresql|nftables'); do "
            "echo $unit $(systemctl show -p ActiveEnterTimestampMonotonic --value $unit); done"
        )
    found["catalogs"] = catalogs(Superuser(landscape.first("database"), landscape.value("bundle_database")))
    return found


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The lines that differ, for a person to read."""
    found = []
    for name in before.keys() | after.keys():
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        found += [f"{name}: {line}" for line in sorted(set(old) ^ set(new))]
    return found
