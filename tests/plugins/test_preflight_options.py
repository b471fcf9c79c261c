"""What preflight says of one variable, one secret and one list of problems, without a host."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest
from ansible.module_utils.preflight_options import check_option
from ansible.module_utils.preflight_problem import HIDDEN, Problem, merge, redact, report, show
from ansible.module_utils.preflight_secrets import Secret, nested_secrets, shared, weakness

PORT = {"type": "int", "description": ["TCP port of the shop.", "Second paragraph."]}
USERS = {
    "type": "list",
    "elements": "dict",
    "description": "People.",
    "options": {
        "name": {"type": "str", "required": True},
        "password": {"type": "str", "no_log": True},
        "limit": {"type": "int"},
    },
}


@pytest.mark.parametrize("value", [5432, "5432"])
def test_value_that_ansible_takes_for_the_type_is_accepted(value: Any) -> None:
    assert check_option("shop", "shop_port", PORT, value, "here") == []


def test_wrong_choice_inside_of_an_option_names_the_suboption_and_the_choices() -> None:
    pools = {"type": "list", "elements": "dict", "description": "Pools."}
    pools["options"] = {"mode": {"type": "str", "choices": ["session", "transaction"]}}
    [problem] = check_option("shop", "shop_pools", pools, [{"mode": "pooled"}], "hosts.yml, line 3")
    assert problem.allowed.startswith("value of mode must be one of: session, transaction, got: pooled")


def test_wrong_type_names_the_value_the_type_the_meaning_and_the_place() -> None:
    [problem] = check_option("shop", "shop_port", PORT, "ten", "hosts.yml, line 3")
    assert problem == Problem(
        "shop",
        "shop_port",
        '"ten"',
        "must be a whole number. TCP port of the shop.",
        "Change it in hosts.yml, line 3.",
    )


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        ({"type": "bool"}, "perhaps", "true or false"),
        ({"type": "list", "elements": "int"}, ["a"], "list entry"),
        ({"type": "dict"}, 3, "a mapping of names to values"),
        ({"type": "str", "choices": ["a", "b"]}, "c", "one of a, b"),
        ({"type": "list", "elements": "str", "choices": ["a", "b"]}, ["a", "c"], "one of a, b"),
    ],
)
def test_every_kind_of_wrong_value_says_what_is_allowed(spec: dict[str, Any], value: Any, words: str) -> None:
    [problem] = check_option("shop", "shop_thing", spec | {"description": "Thing."}, value, "")
    assert words in problem.allowed or "Elements value" in problem.allowed


def test_wrong_part_of_a_list_of_mappings_is_found() -> None:
    [problem] = check_option("shop", "shop_users", USERS, [{"password": "hush-hush-1234", "limit": 3}], "")
    assert "name" in problem.allowed
    assert "hush-hush-1234" not in problem.value + problem.allowed


def test_secret_of_the_wrong_type_is_not_shown() -> None:
    spec = {"type": "int", "no_log": True, "description": "Secret."}
    [problem] = check_option("shop", "shop_secret", spec, "hush-hush-1234", "")
    assert problem.value == HIDDEN
    assert "hush" not in "".join(problem.as_dict().values())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("short", "5 characters"),
        ("", "0 characters"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "1 different"),
        ("changeme-changeme", "well-known words"),
        ("PostgresPassword2024!", "well-known words"),
        ("admin-admin-1234-admin", "well-known words"),
        ("abcdefghijklmnopqrst", "neighbouring"),
        ("12345678901234567890", "neighbouring"),
        ("Intowork_Migrator", "user name"),
    ],
)
def test_weak_secret_is_told_why(value: str, words: str) -> None:
    reason = weakness(value, ["intowork_migrator"])
    assert reason is not None
    assert words in reason


@pytest.mark.parametrize("alphabet", ["0123456789abcdef", string.ascii_letters + string.digits])
@pytest.mark.parametrize("length", [24, 32, 64])
def test_random_secrets_are_strong(alphabet: str, length: int) -> None:
    source = random.Random(f"{alphabet}{length}")
    for _ in range(500):
        assert weakness("".join(source.choices(alphabet, k=length))) is None


def test_secret_of_many_letters_is_judged_at_once() -> None:
    assert weakness("changemechange" * 500 + "x!") is None


def test_secrets_below_a_list_are_found_with_the_name_of_their_entry() -> None:
    value = [{"name": "app", "password": "one"}, {"password": "two"}]
    assert list(nested_secrets(USERS, value, "shop_users")) == [
        ("shop_users[app].password", "one"),
        ("shop_users[1].password", "two"),
    ]


def test_two_vault_variables_with_one_value_are_a_pair() -> None:
    one = Secret("shop", "shop_a", "value", ("vault_a", "vault_b"))
    assert [(secret.name, other.name) for secret, other in shared([one])] == [("vault_b", "vault_a")]


def test_one_vault_variable_in_two_options_is_no_pair() -> None:
    assert (
        shared([Secret("shop", "shop_a", "v", ("vault_a",)), Secret("stall", "stall_b", "v", ("vault_a",))])
        == []
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "5"),
        ("a\nb", '"a\\nb"'),
        ("postgresql://app:hush@db:5432/x", f'"postgresql://app:{HIDDEN}@db:5432/x"'),
        ({"password": "hush", "name": "app"}, f'{{"password": "{HIDDEN}", "name": "app"}}'),
        ([{"api_token": "hush"}], f'[{{"api_token": "{HIDDEN}"}}]'),
    ],
)
def test_value_is_shown_without_secrets(value: Any, shown: str) -> None:
    assert show(value) == shown


def test_long_value_is_cut() -> None:
    assert len(show("x" * 1000)) == 100


def test_secret_at_the_cut_is_hidden_whole() -> None:
    assert "hush" not in show("x" * 95 + "hush-hush-1234", ["hush-hush-1234"])


def test_secret_with_quotes_is_hidden_too() -> None:
    assert redact('it is "a\\"b"', ['a"b']) == f'it is "{HIDDEN}"'


def test_same_problem_of_two_roles_is_one_with_both_names() -> None:
    problems = [
        Problem(role, "system", "Ubuntu", "must be Debian.", "Reinstall.") for role in ("a", "b", "a")
    ]
    assert [problem.role for problem in merge(problems)] == ["a, b"]


def test_report_is_empty_without_problems() -> None:
    assert report({"one": [], "two": []}) == ""


def test_report_numbers_the_problems_of_all_hosts() -> None:
    wrong = Problem("shop", "shop_port", '"ten"', "must be a whole number", "Change it")
    other = Problem("shop", "memory", "1 MB", "must be at least 2 MB.", "Give it more.")
    text = report({"one": [wrong.as_dict()], "two": [wrong.as_dict(), other.as_dict()]})
    assert text.splitlines() == [
        "2 problems found before anything was touched:",
        '  1. one, two: shop: shop_port = "ten": must be a whole number. Change it.',
        "  2. two: shop: memory = 1 MB: must be at least 2 MB. Give it more.",
    ]
