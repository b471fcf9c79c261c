"""Filter preflight_report: what preflight found on every host, as one list for a person."""

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
from ansible.module_utils.preflight_problem import report  # noqa: E402


def preflight_report(hosts: list[str], hostvars: Mapping[str, Any], register: str = "preflight") -> str:
    """One numbered list of all hosts' problems, empty when there is none.

    `hosts` are the names to report on, `register` the variable in which each has the result of preflight.
    AnsibleFilterError for a host without such a result: it was not looked at, which is not "no problem".
    """
    by_host = {}
    for host in hosts:
        result = hostvars[host].get(register)
        if not isinstance(result, Mapping) or "problems" not in result:
            raise AnsibleFilterError(
                f'host "{host}" has no result of preflight in "{register}"; '
                f"run the task preflight on it with register: {register}."
            )
        by_host[host] = result["problems"]
    return str(report(by_host))


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"preflight_report": preflight_report}
