"""A role's argument spec is its contract: it says the same as the defaults, and says it in words."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.requirements import check_keys
from role_files import ROLES, ROOT, all_options, defaults, entry_points, is_secret, nothing, options, read

UNITS = (
    r"(milli)?seconds?|minutes?|hours?|days?|ms|[kKMGT]B|bytes?|bits|percent|per cent|ports?|number|count|"
    r"how many|times|attempts|retries|tries|sessions?|connections?|clients?|servers?|workers?|processes|"
    r"CPUs?|cores|factor|share|releases|dumps|lines|characters|mode"
)
UNIT = re.compile(rf"\b({UNITS})\b|%", re.IGNORECASE)
SECRET_NAME = re.compile(r"_(password|secret|token|passphrase)$")
each_role = pytest.mark.parametrize("role", ROLES)


@each_role
def test_spec_names_what_the_defaults_set(role: str) -> None:
    undeclared = sorted(set(defaults(role)) - set(options(role)))
    nothing(undeclared, f"in defaults/main.yml of {role}, but in no entry point's options")


@each_role
def test_default_is_the_same_in_spec_and_defaults(role: str) -> None:
    values = defaults(role)
    different = [
        f"{entry_point}: {name}: spec {option['default']!r}, defaults {values.get(name, 'nothing')!r}"
        for name, declared in options(role).items()
        for entry_point, option in declared
        if "default" in option and (name not in values or not same(option["default"], values[name]))
    ]
    missing = [
        f"{entry_point}: {name}: defaults/main.yml has {values[name]!r}, the spec has no default"
        for name, declared in options(role).items()
        for entry_point, option in declared
        if name in values and "default" not in option
    ]
    nothing(different + missing)


@each_role
def test_option_is_required_if_and_only_if_it_has_no_default(role: str) -> None:
    wrong = [
        f"{entry_point}: {name}: required {bool(option.get('required'))}, default {'default' in option}"
        for name, declared in options(role).items()
        for entry_point, option in declared
        if bool(option.get("required")) == ("default" in option)
    ]
    nothing(wrong)


@each_role
def test_secret_has_no_default(role: str) -> None:
    # Empty is allowed: it says that an optional secret is not there.
    wrong = [name for name, option in all_options(role) if is_secret(name, option) and option.get("default")]
    nothing(wrong)
    nothing([name for name, value in defaults(role).items() if value and SECRET_NAME.search(name)])


@each_role
def test_option_with_the_name_of_a_secret_is_not_logged(role: str) -> None:
    nothing(
        [name for name, option in all_options(role) if SECRET_NAME.search(name) and not option.get("no_log")]
    )


@each_role
def test_option_name_starts_with_the_role(role: str) -> None:
    nothing([name for name in options(role) if not name.startswith(f"{role}_")])


@each_role
def test_option_has_a_type(role: str) -> None:
    nothing([name for name, option in all_options(role) if "type" not in option])


@each_role
def test_description_is_a_sentence(role: str) -> None:
    wrong = [name for name, option in all_options(role) if not is_sentence(option.get("description"))]
    nothing(wrong, "a description starts with a capital, a digit or a mark, and ends with a full stop")


@each_role
def test_numeric_option_says_its_unit(role: str) -> None:
    wrong = [
        name
        for name, option in all_options(role)
        if option.get("type") in ("int", "float") and not UNIT.search(str(option.get("description")))
    ]
    nothing(wrong, "say what is counted, or in which unit (seconds, MB, number of …)")


@each_role
def test_default_is_among_the_choices(role: str) -> None:
    wrong = [
        name
        for name, option in all_options(role)
        if option.get("choices") and "default" in option and "{{" not in str(option["default"])
        if not set(as_list(option["default"])) <= set(option["choices"])
    ]
    nothing(wrong)


@each_role
def test_entry_point_says_in_a_line_what_it_does(role: str) -> None:
    nothing([name for name, spec in entry_points(role).items() if not spec.get("short_description")])


@each_role
def test_entry_point_has_its_file_of_tasks(role: str) -> None:
    folder = ROOT / "roles" / role / "tasks"
    nothing([name for name in entry_points(role) if not (folder / f"{name}.yml").is_file()])


@each_role
def test_role_lists_its_packages(role: str) -> None:
    packages = defaults(role).get(f"{role}_packages")
    assert isinstance(packages, list), (
        f"{role}_packages in defaults/main.yml must be a list, [] when there is none"
    )


@each_role
def test_meta_says_who_what_and_where(role: str) -> None:
    meta = read(ROOT / "roles" / role / "meta" / "main.yml")
    info = meta["galaxy_info"]
    assert meta.get("dependencies") == [], "a role depends on no other role"
    assert info["author"] == "The bundle's maintainers"
    assert info["license"] == "MIT"
    assert str(info["min_ansible_version"]) == "2.19"
    assert info["platforms"] == [{"name": "Debian", "versions": ["bookworm"]}]
    assert info["description"]


@each_role
def test_host_requirements_are_ones_that_preflight_knows(role: str) -> None:
    path = ROOT / "roles" / role / "meta" / "preflight.yml"
    check_keys(role, read(path) if path.is_file() else {})


def same(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.split() == other.split()
    return type(one) is type(other) and one == other


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def is_sentence(description: object) -> bool:
    items = description if isinstance(description, list) else [description]
    return bool(items) and all(
        isinstance(item, str) and item.strip().endswith(".") and not item.strip()[0].islower()
        for item in items
    )
