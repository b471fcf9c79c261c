"""The filter postgresql_tuning: a machine in, PostgreSQL's settings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ansible.module_utils

# Ansible extends this path for modules only, not for plugins of the controller.
_SHARED = str(Path(__file__).resolve().parents[1] / "module_utils")
if _SHARED not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_SHARED)

from ansible.errors import AnsibleFilterError  # noqa: E402
from ansible.module_utils.postgresql_formulas import Machine, settings  # noqa: E402

DOCUMENTATION = r"""
name: postgresql_tuning
short_description: PostgreSQL 15's settings for a machine.
description:
  - Computes settings of C(postgresql.conf) from memory, CPUs, storage and kind of work.
  - Nothing trades durability for speed, and all that may be allocated at once fits into the memory given.
positional: _input
options:
  _input:
    description:
      - V(memory_mb) is the memory in MB that PostgreSQL may use, at least 512; V(cpus) the number of CPUs.
      - V(storage) is ssd (default), hdd or san; V(workload) is web (default), oltp, mixed or warehouse.
      - V(max_connections) is the limit of connections, 100 by default.
    type: dict
    required: true
"""

EXAMPLES = r"""
tuning: "{{ {'memory_mb': 4096, 'cpus': 2, 'storage': 'ssd', 'workload': 'web'} | postgresql_tuning }}"
"""

RETURN = r"""
_value:
  description: Settings by name, in PostgreSQL's own words, such as C(shared_buffers) V(1GB).
  type: dict
"""

REQUIRED = ("memory_mb", "cpus")
ALLOWED = (*REQUIRED, "storage", "workload", "max_connections")


def postgresql_tuning(machine: Any) -> dict[str, str]:
    """Return the settings for a machine, see DOCUMENTATION.

    Raises:
        AnsibleFilterError: with every problem: the value, what is allowed, what to do.
    """
    try:
        result: dict[str, str] = settings(_read(machine))
    except ValueError as error:
        raise AnsibleFilterError(f"postgresql_tuning: {error}") from error
    return result


def postgresql_tuning_problems(machine: Any) -> list[str]:
    """Return what is wrong with a machine, a sentence each, for checks before anything is touched."""
    try:
        result: list[str] = _read(machine).problems()
    except ValueError as error:
        return [str(error)]
    return result


def _read(machine: Any) -> Machine:
    if not isinstance(machine, Mapping):
        raise ValueError(f"{machine!r} is not a dictionary; give one with {', '.join(ALLOWED)}")
    unknown = [name for name in machine if name not in ALLOWED]
    missing = [name for name in REQUIRED if name not in machine]
    if unknown or missing:
        problems = [f"{name!r} is not known" for name in unknown] + [f"{name} is missing" for name in missing]
        raise ValueError(
            f"{'; '.join(problems)}; give {', '.join(REQUIRED)} and, if you like, {', '.join(ALLOWED[2:])}"
        )
    return Machine(**{str(name): value for name, value in machine.items()})


class FilterModule:
    """Ansible's way in."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "postgresql_tuning": postgresql_tuning,
            "postgresql_tuning_problems": postgresql_tuning_problems,
        }
