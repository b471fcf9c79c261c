"""Action preflight: all that is wrong with the input of some roles on a host, before anything is touched.

See docs/preflight.md for how site.yml uses it and how a role declares what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ansible.module_utils

# Ansible extends this path for modules only, not for plugins of the controller.
_SHARED = str(Path(__file__).resolve().parents[1] / "module_utils")
if _SHARED not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_SHARED)

from ansible import constants as C  # noqa: E402, N812
from ansible.errors import AnsibleActionFail  # noqa: E402
from ansible.module_utils.preflight_problem import merge, report  # noqa: E402
from ansible.module_utils.preflight_role_check import HostCheck  # noqa: E402
from ansible.module_utils.preflight_roles import Role, RoleError, read_role  # noqa: E402
from ansible.module_utils.preflight_values import Values  # noqa: E402
from ansible.module_utils.requirements import RequirementError  # noqa: E402
from ansible.plugins.action import ActionBase  # noqa: E402

_USER_NAMES = ("_user", "_user_name", "_username", "_role")


class ActionModule(ActionBase):
    """The action; its options are in `_SPEC`, its result has problems, passed_roles and msg."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _SPEC = {  # noqa: RUF012 - Ansible's own name for a constant
        "roles": {"type": "list", "elements": "str", "default": []},
        "roles_by_group": {"type": "dict", "default": {}},
        "entry_points": {"type": "dict", "default": {}},
        "release": {"type": "dict", "default": {}},
        "fail": {"type": "bool", "default": False},
    }

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect the problems of this host. Fails itself only with `fail: true`, or when it cannot look."""
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, options = self.validate_argument_spec(argument_spec=self._SPEC)
        everything = Values(self._templar, task_vars)
        check = HostCheck(
            environment=_environment(task_vars),
            base=self._loader.get_basedir(),
            vault=dict(_strings(everything, lambda name: name.startswith("vault_"))),
        )
        try:
            roles = list(self._roles(options, task_vars))
            failure = self._collect(check, roles, options, task_vars)
        except (RoleError, RequirementError) as error:
            raise AnsibleActionFail(str(error)) from error
        if failure:
            return failure
        problems = [problem.as_dict() for problem in merge(check.problems)]
        passed = [] if problems else [role.name for role in roles]
        result.update(changed=False, problems=problems, passed_roles=passed)
        result["ansible_facts"] = {"preflight_passed_roles": passed}
        if problems:
            result["msg"] = report({str(task_vars.get("inventory_hostname", "localhost")): problems})
            result["failed"] = options["fail"]
        return result

    def _collect(
        self, check: HostCheck, roles: list[Role], options: Mapping[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Fills `check`; returns the result of the probe when that failed."""
        values = {role.name: self._values(role, task_vars) for role in roles}
        bad = {role.name: check.check_options(role, values[role.name]) for role in roles}
        everything = Values(self._templar, task_vars)
        check.check_secrets(
            value for _, value in _strings(everything, lambda name: name.endswith(_USER_NAMES))
        )
        ready = {
            role.name: check.read_requirements(role, values[role.name], bad[role.name]) for role in roles
        }
        for role in roles:
            if ready[role.name].get("release"):
                check.check_release(role.name, ready[role.name]["release"])
        if options["release"]:
            check.check_release("release", options["release"])
        probe = self._execute_module(
            module_name="host_probe", module_args={"paths": check.paths(ready)}, task_vars=task_vars
        )
        if probe.get("failed") or "probe" not in probe:
            return dict(probe)
        check.check_host(ready, probe["probe"])
        for role in roles:
            values[role.name].variables["preflight_host"] = probe["probe"]
            check.check_rules(role, ready[role.name].get("rules", []), values[role.name], bad[role.name])
        check.finish()
        return None

    def _roles(self, options: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Iterator[Role]:
        groups = {"all", *task_vars.get("group_names", [])}
        names = list(options["roles"])
        for group, members in options["roles_by_group"].items():
            names.extend(members if group in groups else [])
        roots = [*C.DEFAULT_ROLES_PATH, str(Path(self._loader.get_basedir()) / "roles")]
        for name in dict.fromkeys(names):
            entry_points = options["entry_points"].get(name, [])
            yield read_role(name, roots, self._load, entry_points)

    def _load(self, path: str) -> Any:
        return self._loader.load_from_file(path, trusted_as_template=True)

    def _values(self, role: Role, task_vars: Mapping[str, Any]) -> Values:
        own = {"role_name": role.name, "role_path": str(role.path)}
        return Values(self._templar, {**role.defaults, **task_vars, **role.internals, **own})


def _environment(task_vars: Mapping[str, Any]) -> str:
    """The inventory's name (local, staging, production), as scripts/secrets takes it."""
    folder = task_vars.get("inventory_dir")
    return Path(str(folder)).name if folder else "ENV"


def _strings(values: Values, wanted: Any) -> Iterator[tuple[str, str]]:
    for name in values.variables:
        if not isinstance(name, str) or not wanted(name):
            continue
        resolved = values.get(name)
        if resolved.ok and isinstance(resolved.value, str) and resolved.value:
            yield name, resolved.value
