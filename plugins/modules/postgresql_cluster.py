#!/usr/bin/python
"""Ansible module: one of Debian's PostgreSQL clusters exists, whole and with data checksums."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_cluster
short_description: A PostgreSQL cluster exists, whole and with data checksums
description:
  - Makes the cluster with pg_createcluster, so that Debian's tools and units know it.
  - What a killed run of this module left is cleared away first; a marker beside the data directory tells it apart. Any
    other data is never touched, and with the marker none that a server has ever run on.
options:
  version:
    description: Major version of PostgreSQL.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    default: main
  data_directory:
    description: Where its data is.
    type: path
    required: true
  port:
    description: Port of the cluster.
    type: int
    default: 5432
  locale:
    description: Locale of the cluster and its template databases.
    type: str
    default: C.UTF-8
author: The bundle's maintainers
"""

import os
import shutil
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def has_checksums(version: str, data_directory: Path) -> bool:
    """Return whether the cluster's pages carry checksums."""
    control = subprocess.run(
        [f"/usr/lib/postgresql/{version}/bin/pg_controldata", str(data_directory)],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C"},
    ).stdout
    line = next(line for line in control.splitlines() if line.startswith("Data page checksum version:"))
    return int(line.split(":")[1]) > 0


def problem_with(etc: Path, data: Path, unfinished: Path) -> str | None:
    """Return why no cluster may be made in `data`, or None.

    A postmaster writes postmaster.opts when it starts, and initdb never does: with it, the data is somebody's.
    """
    version, name = etc.parent.name, etc.name
    is_ours = unfinished.exists() and not (data / "postmaster.opts").exists() and not os.path.ismount(data)
    if data.exists() and any(data.iterdir()) and not is_ours:
        return (
            f"{data} is not empty, but {etc} does not describe a cluster there. Nothing was touched. If it is the "
            f"cluster you want, adopt it: pg_createcluster {version} {name} -d {data}; if not, move it away."
        )
    if (etc / "postgresql.conf").exists() and not unfinished.exists():
        return (
            f"{etc} describes a cluster, but {data} has no data. Nothing was touched. Mount the data's file system, or "
            f"correct postgresql_data_directory; if the data is gone for good: pg_dropcluster {version} {name}"
        )
    return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "data_directory": {"type": "path", "required": True},
            "port": {"type": "int", "default": 5432},
            "locale": {"type": "str", "default": "C.UTF-8"},
        },
        supports_check_mode=True,
    )
    version, cluster = module.params["version"], module.params["cluster"]
    # The variable is that of Debian's own tools.
    etc = Path(os.environ.get("PG_CLUSTER_CONF_ROOT", "/etc/postgresql"), version, cluster)
    data = Path(module.params["data_directory"])
    unfinished = data.with_name(f".{data.name}.being-made")
    is_whole = (etc / "postgresql.conf").exists() and (data / "PG_VERSION").exists()
    if is_whole and (data / "postmaster.opts").exists():
        # Killed after the cluster was made and before the marker went; a server has run on it since.
        if unfinished.exists() and not module.check_mode:
            unfinished.unlink()
    elif unfinished.exists():
        is_whole = False
    if is_whole:
        if not has_checksums(version, data):
            module.warn(
                f"The cluster in {data} has no data checksums, so a corrupt page goes unnoticed. With the server "
                f"stopped: pg_checksums --enable -D {data}"
            )
        module.exit_json(changed=False)
    if problem := problem_with(etc, data, unfinished):
        module.fail_json(msg=problem)
    if module.check_mode:
        module.exit_json(changed=True)
    if unfinished.exists():
        for left in (etc, data):
            shutil.rmtree(left, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    done = subprocess.run(
        [
            "pg_createcluster",
            version,
            cluster,
            f"--datadir={data}",
            f"--port={module.params['port']}",
            f"--locale={module.params['locale']}",
            "--start-conf=auto",
            "--",
            "--data-checksums",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        # Debian's tool takes back what it made; a marker that stayed would call what comes here later unfinished.
        if not (data.exists() and any(data.iterdir())):
            unfinished.unlink()
        module.fail_json(msg=f"pg_createcluster {version} {cluster} failed: {done.stderr.strip()}")
    unfinished.unlink()
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
