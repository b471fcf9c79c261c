"""Lookup role_packages: the Debian packages of several roles, as one sorted list without repetitions."""

from __future__ import annotations

DOCUMENTATION = """
name: role_packages
short_description: The Debian packages of several roles
author: The bundle's maintainers
description:
  - Takes from each role the variables ROLE_packages and ROLE_system_packages (a product's own), from the inventory
    where they are defined, otherwise from the role's defaults/main.yml, and returns all names once, sorted.
  - All packages of a host are installed in one apt transaction; no role reads another's variables.
options:
  _terms:
    description: Names of roles.
    type: list
    elements: str
    required: true
"""

EXAMPLES = """
- name: install | Install the packages of all roles of this host
  ansible.builtin.apt:
    name: "{{ lookup('role_packages', ['base', 'postgresql']) }}"
"""

RETURN = """
_raw:
  description: One element, the sorted list of package names, so that lookup() returns the list itself.
  type: list
"""

from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import ansible.module_utils  # noqa: E402

# Ansible extends this path for modules only, not for plugins of the controller.
_SHARED = str(Path(__file__).resolve().parents[1] / "module_utils")
if _SHARED not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_SHARED)

from ansible import constants as C  # noqa: E402, N812
from ansible.errors import AnsibleLookupError, AnsibleTemplateError  # noqa: E402
from ansible.module_utils.preflight_roles import RoleError, find_role, read_defaults  # noqa: E402
from ansible.plugins.lookup import LookupBase  # noqa: E402


class LookupModule(LookupBase):
    """The lookup; see DOCUMENTATION."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[str]]:
        """One element: the sorted names. AnsibleLookupError for an unknown role or no list of names."""
        self.set_options(var_options=variables, direct=kwargs)
        packages: set[str] = set()
        for term in terms:
            for role in term if isinstance(term, list | tuple) else [term]:
                for name in (f"{role}_packages", f"{role}_system_packages"):
                    packages.update(self._packages(str(role), name, variables or {}))
        return [sorted(packages)]

    def _packages(self, role: str, name: str, variables: dict[str, Any]) -> list[str]:
        roots = [*C.DEFAULT_ROLES_PATH, str(Path(self._loader.get_basedir()) / "roles")]
        try:
            path = find_role(role, roots)
            defaults = read_defaults(
                path, lambda file: self._loader.load_from_file(file, trusted_as_template=True)
            )
        except RoleError as error:
            raise AnsibleLookupError(f"role_packages: {error}") from error
        # The other defaults are there for what the list refers to; what the inventory says comes first.
        merged = {**defaults, **variables, "role_path": str(path), "role_name": role}
        if name not in merged:
            return []
        try:
            value = self._templar.copy_with_new_env(available_variables=merged).template(merged[name])
        except AnsibleTemplateError as error:
            raise AnsibleLookupError(f"role_packages: {name} of role {role}: {error}") from error
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise AnsibleLookupError(
                f"role_packages: {name} is {value!r}; a list of Debian package names is needed. "
                f"Correct it in the inventory or in {path}/defaults/main.yml."
            )
        return value
