"""Lookup controller_tmp: the controller's own temporary directory of this run."""

from __future__ import annotations

DOCUMENTATION = """
name: controller_tmp
short_description: The controller's temporary directory of this run
author: The bundle's maintainers
description:
  - Ansible makes it for itself, for nobody else to read, and removes it when the run ends, unless that is by
    SIGKILL. What a task has to remove stays when its host becomes unreachable, since no task of that host follows.
options: {}
"""

EXAMPLES = """
- name: Fetch a file that nothing of may stay here
  ansible.builtin.fetch:
    src: /var/lib/thing/file
    dest: "{{ lookup('controller_tmp') }}/file"
    flat: true
"""

RETURN = """
_raw:
  description: One element, the absolute path of the directory.
  type: list
  elements: path
"""

from typing import Any  # noqa: E402

from ansible import constants as C  # noqa: E402, N812
from ansible.plugins.lookup import LookupBase  # noqa: E402


class LookupModule(LookupBase):
    """The lookup; see DOCUMENTATION. Lookup config would make another directory each time, which nobody removes."""

    def run(self, _terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """One element: the path."""
        self.set_options(var_options=variables, direct=kwargs)
        return [str(C.DEFAULT_LOCAL_TMP)]
