"""The checks of one host: its roles' options, their secrets, and what they ask of the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.module_utils import preflight_secrets, requirements
from ansible.module_utils.pooled_driver import shares_sessions
from ansible.module_utils.preflight_options import allowed, check_option, is_secret
from ansible.module_utils.preflight_problem import HIDDEN, NOT_DEFINED, Problem, redact, sentence, show
from ansible.module_utils.preflight_release import Release, check_release
from ansible.module_utils.preflight_roles import Role
from ansible.module_utils.preflight_values import Resolved, Values, expression_names, references

_FROM_ITS_META = "meta/preflight.yml"


@dataclass
class HostCheck:
    """Collects the problems of one host.

    `environment` is the inventory's name as scripts/secrets takes it, `base` the folder from which a
    repository's relative path counts, `vault` the values of the vault variables, none of which is ever shown.
    """

    environment: str
    base: str = "."
    vault: Mapping[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _missing: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _secrets: list[preflight_secrets.Secret] = field(default_factory=list)
    _ports: list[requirements.Port] = field(default_factory=list)
    _space: list[requirements.Space] = field(default_factory=list)
    _memory: list[requirements.Memory] = field(default_factory=list)
    _release_problems: list[Problem] = field(default_factory=list)

    @property
    def hidden(self) -> set[str]:
        """Values that no message may contain."""
        values = [*self.vault.values(), *(secret.value for secret in self._secrets)]
        return {value for value in values if preflight_secrets.is_hidden(value)}

    def check_options(self, role: Role, values: Values) -> set[str]:
        """Every option of the role against its spec. Returns the names of those that have a problem."""
        bad = set()
        for name, spec in role.options.items():
            if name not in values:
                if spec.get("required"):
                    self.problems.append(self._undefined(role.name, name, spec))
                    bad.add(name)
                continue
            resolved = values.get(name)
            if not resolved.ok:
                self._note(role.name, name, values, resolved, secret=bool(spec.get("no_log")))
                bad.add(name)
                known = values.known_part(name)
                if known is not None:
                    self._check_value(role.name, name, spec, known, values)
                continue
            if resolved.value is None:
                if spec.get("required"):
                    self.problems.append(self._undefined(role.name, name, spec))
                    bad.add(name)
                continue
            if not self._check_value(role.name, name, spec, resolved.value, values):
                bad.add(name)
        return bad

    def check_secrets(self, user_names: Iterable[str]) -> None:
        """Weak and shared secrets among those that `check_options` met."""
        held: dict[str, list[str]] = {}
        for name, value in self.vault.items():
            held.setdefault(value, []).append(name)
        secrets: dict[str, preflight_secrets.Secret] = {}
        for item in self._secrets:
            secret = preflight_secrets.Secret(
                item.role, item.label, item.value, tuple(held.get(item.value, ()))
            )
            secrets.setdefault(secret.name, secret)
        users = set(user_names)
        for secret in secrets.values():
            reason = preflight_secrets.weakness(secret.value, users)
            if reason:
                self.problems.append(self._bad_secret(secret, f"too weak: {reason}."))
        for secret, other in preflight_secrets.shared(secrets.values()):
            self.problems.append(
                self._bad_secret(secret, f"must differ from {other.name}, which has the same value.")
            )

    def read_requirements(self, role: Role, values: Values, bad: set[str]) -> dict[str, Any]:
        """The role's requirements, templated, without those that need an undefined or a `bad` variable."""
        requirements.check_keys(role.name, role.requirements)
        ready: dict[str, Any] = {}
        for key, raw in role.requirements.items():
            if key == "rules":
                ready[key] = requirements.entries(role.name, key, raw)
                continue
            is_list = key in ("ports", "space")
            parts = requirements.entries(role.name, key, raw) if is_list else [raw]
            done = [
                part.value for part in (self._part(role.name, item, values, bad) for item in parts) if part
            ]
            if is_list:
                ready[key] = done
            elif done:
                ready[key] = done[0]
        return ready

    def paths(self, ready: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Reads ports, space and memory of all roles, and returns the paths that the probe has to look at."""
        for role, wanted in ready.items():
            ports, problems = requirements.read_ports(role, wanted.get("ports"))
            space, more = requirements.read_space(role, wanted.get("space"))
            memory, most = requirements.read_memory(role, wanted.get("memory_mb"))
            self._ports.extend(ports)
            self._space.extend(space)
            self._memory.extend(memory)
            self.problems.extend(problems + more + most)
        return sorted({path for item in self._space for path in (item.path, item.unless) if path})

    def check_host(self, ready: Mapping[str, Mapping[str, Any]], probe: Mapping[str, Any]) -> None:
        """What all roles ask of the host against `probe`."""
        for role, wanted in ready.items():
            if wanted.get("os"):
                self.problems.extend(requirements.check_os(role, wanted["os"], probe))
            self.problems.extend(requirements.check_simple(role, wanted, probe))
        self.problems.extend(requirements.check_memory(self._memory, probe["memory_mb"]))
        self.problems.extend(requirements.check_ports(self._ports, probe["listening"]))
        self.problems.extend(requirements.check_space(self._space, probe["space"]))

    def check_rules(
        self, role: Role, rules: Iterable[Mapping[str, Any]], values: Values, bad: set[str]
    ) -> None:
        """The role's own rules, without those that need a `bad` variable: they would repeat its problem."""
        for rule in rules:
            condition = rule.get("that")
            if not isinstance(condition, str):
                raise requirements.RequirementError(
                    f"{role.name}/{_FROM_ITS_META}: a rule's `that` must be a string, not {show(condition)}."
                )
            variable = str(rule.get("variable") or "rule")
            if variable in bad or bad & (
                expression_names(condition if "{{" in condition else "{{ " + condition + " }}")
                | references(rule)
            ):
                continue
            outcome = values.holds(condition)
            if not outcome.ok:
                self._note(role.name, variable, values, outcome, secret=False)
            elif not outcome.value:
                texts = {key: values.resolve(rule.get(key)) for key in ("value", "allowed", "fix")}
                shown = texts["value"].value
                self.problems.append(
                    Problem(
                        role.name,
                        variable,
                        shown if isinstance(shown, str) else show(shown, self.hidden),
                        sentence(str(texts["allowed"].value or f"must make this true: {condition}")),
                        sentence(
                            str(texts["fix"].value or f"Change {variable} in {values.origin(variable)}")
                        ),
                    )
                )

    def check_release(self, role: str, wanted: Mapping[str, Any]) -> None:
        """`wanted`: repository, ref, folder, lock, and what staging takes, templated. Before `paths`."""
        fields = {
            key: str(wanted.get(key) or "") for key in ("repository", "ref", "folder", "lock", "alembic")
        }
        unset = [key for key in ("repository", "ref") if not fields[key]]
        for key in unset:
            self._release_problems.append(
                Problem(
                    role,
                    f"{role}_{key}",
                    NOT_DEFINED,
                    f"the {key} of the release must be named.",
                    f"Set {role}_{key} in the inventory (group_vars/all/release.yml).",
                )
            )
        if unset:
            return
        driver = wanted.get("driver") or {}
        watched = shares_sessions(str(driver.get("pool_mode", "session"))) and not driver.get("acknowledged")
        project = bool(wanted.get("project"))
        release = Release(
            **fields, role=role, project=project, scheme=str(driver.get("scheme", "")) if watched else ""
        )
        problems, source = check_release(release, self.base)
        self._release_problems.extend(problems)
        staging = wanted.get("staging")
        if source is not None and staging is not None:
            identity = source.identity(
                python=str(wanted["python"]), architecture=str(wanted["architecture"]), project=project
            )
            space, problems = requirements.read_space(role, [staging])
            self._space.extend(
                replace(item, unless=f"{item.path}/{identity}/manifest.json") for item in space
            )
            self._release_problems.extend(problems)

    def finish(self) -> None:
        """Adds one problem for each undefined variable, with all that needs it, and hides the secrets."""
        found = []
        for name, needed_by in self._missing.items():
            options = ", ".join(dict.fromkeys(option for names in needed_by.values() for option in names))
            if name.startswith("vault_"):
                fix = f"Run scripts/secrets {self.environment}, which makes every secret that is missing."
                words = f"needed by {options}; a secret of at least {preflight_secrets.SHORTEST} characters."
            else:
                place = " (group_vars/all)" if name.startswith("bundle_") else ""
                fix = f"Set {name} in the inventory{place}."
                words = f"needed by {options}."
            found.append(Problem(", ".join(needed_by), name, NOT_DEFINED, words, fix))
        clean = [
            {name: redact(text, self.hidden) for name, text in problem.as_dict().items()}
            for problem in [*found, *self.problems, *self._release_problems]
        ]
        self.problems = [Problem(**fields) for fields in clean]

    def _part(self, role: str, raw: Any, values: Values, bad: set[str]) -> Resolved | None:
        if bad & references(raw):
            return None
        resolved = values.resolve(raw)
        if resolved.ok:
            return resolved
        self._note(role, _FROM_ITS_META, values, resolved, secret=False)
        return None

    def _note(self, role: str, name: str, values: Values, resolved: Resolved, *, secret: bool) -> None:
        for missing in resolved.missing:
            names = self._missing.setdefault(missing, {}).setdefault(role, [])
            if name not in names:
                names.append(name)
        if resolved.error:
            source = values.source(name)
            shown = HIDDEN if secret else show(values.variables.get(source, NOT_DEFINED), self.hidden)
            reason = "its template cannot be rendered" if secret else resolved.error
            place = values.origin(name)
            self.problems.append(
                Problem(
                    role,
                    source,
                    shown,
                    f"has no value: {reason}",
                    f"Correct it in {place or 'the inventory'}.",
                )
            )

    def _undefined(self, role: str, name: str, spec: Mapping[str, Any]) -> Problem:
        if is_secret(name, spec):
            fix = (
                f"Run scripts/secrets {self.environment}, which makes every secret that is missing, and set "
                f"{name} in the inventory to the vault_ variable that holds it."
            )
        else:
            fix = f"Set {name} in the inventory."
        return Problem(role, name, NOT_DEFINED, f"required; {allowed(spec)}", fix)

    def _check_value(self, role: str, name: str, spec: Mapping[str, Any], value: Any, values: Values) -> bool:
        found = check_option(role, name, spec, value, values.origin(name), self.hidden)
        self.problems.extend(found)
        self._collect_secrets(role, name, spec, value, values)
        return not found

    def _collect_secrets(
        self, role: str, name: str, spec: Mapping[str, Any], value: Any, values: Values
    ) -> None:
        # Empty says "none" where the option is optional, such as the key of a certificate that is not given.
        if is_secret(name, spec) and isinstance(value, str) and (value or spec.get("required")):
            self._secrets.append(preflight_secrets.Secret(role, values.source(name), value))
        for vault_name in values.vault_names(name):
            if held := self.vault.get(vault_name):
                self._secrets.append(preflight_secrets.Secret(role, name, held))
        for label, secret in preflight_secrets.nested_secrets(spec, value, name):
            self._secrets.append(preflight_secrets.Secret(role, label, secret))

    def _bad_secret(self, secret: preflight_secrets.Secret, words: str) -> Problem:
        fix = (
            f"Take it out of the vault and run scripts/secrets {self.environment}, which makes a new one."
            if secret.name.startswith("vault_")
            else f"Set {secret.name} to a random value of at least {preflight_secrets.SHORTEST} characters."
        )
        used = "" if secret.name == secret.label else f"; it is the value of {secret.label}"
        return Problem(secret.role, secret.name, HIDDEN, words.rstrip(".") + used + ".", fix)
