"""What tells whether a host was touched."""

from __future__ import annotations

from shared.landscape import Landscape
from shared.machine import Machine
from shared.sql import Superuser

# Every path of the host's own file system, with the moment of each file's last change, which nobody can turn back.
# Left out is what a look leaves behind: the lists of the package archive, apt's index of them, the logs.
PATHS = r"""
find / -xdev \( -path /var/lib/apt/lists -o -path '/var/cache/apt/*.bin' -o -path /var/log \
    -o -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \) -prune \
  -o -type d -printf '%p %y %u:%g %m\n' -o -printf '%p %y %u:%g %m %s %C@ %l\n' | sort
"""
UNITS = """
systemctl list-unit-files --no-legend --no-pager
systemctl list-units --all --type=service,timer,socket,target,mount --no-legend --plain --no-pager \
  --state=active,activating,failed | grep -v '^user\\(-runtime-dir\\)\\?@'
"""
# pg_dump writes a random word around its output.
CATALOGS = r"""
cd / && runuser -u postgres -- pg_dumpall --globals-only | grep -v '^\\\(un\)\?restrict '
runuser -u postgres -- pg_dump --schema-only --create {database} | grep -v '^\\\(un\)\?restrict '
"""


def files(machine: Machine) -> str:
    """Checksums of everything in /etc, with owners and modes, a line each."""
    script = r"find /etc -type f -print0 | sort -z | xargs -0 sha256sum; find /etc -printf '%p %u %g %m %l\n' | sort"
    return machine.sh(script, timeout=60)


def whole(machine: Machine) -> dict[str, str]:
    """All files, directories, packages and users of a host, and its units; for a host on which nothing else goes on."""
    return {"paths": machine.sh(PATHS, timeout=60), "units": machine.sh(UNITS)}


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
