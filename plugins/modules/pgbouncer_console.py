#!/usr/bin/python
"""Ansible module: one command on the admin console of each pgBouncer of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbouncer_console
short_description: Run one command on the admin console of each pgBouncer of this host
description:
  - A pooler that does not run is passed over, since it has no sessions that the command could concern.
options:
  command:
    description: The command, for example C(RECONNECT).
    type: str
    required: true
  poolers:
    description: The poolers of this host, each with host, port, user, password and unit.
    type: list
    elements: dict
    required: true
author: The bundle's maintainers
"""

from ansible.module_utils.pgbouncer import ARGUMENT_SPEC, Console, ConsoleError
from ansible.module_utils.quiet_module import QuietModule


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "command": {"type": "str", "required": True},
            "poolers": {"type": "list", "elements": "dict", "required": True, "options": ARGUMENT_SPEC},
        },
        supports_check_mode=True,
    )
    consoles = [Console(**pooler) for pooler in module.params["poolers"]]
    running = [console for console in consoles if console.is_running()]
    if not module.check_mode:
        for console in running:
            try:
                console.run(module.params["command"])
            except ConsoleError as error:
                module.fail_json(msg=str(error))
    module.exit_json(changed=bool(running), units=[console.unit for console in running])


if __name__ == "__main__":
    main()
