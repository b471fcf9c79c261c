"""What postgresql_access says when it cannot do what is asked, and on a host where nothing runs yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from access_cluster import (
    APP,
    DATABASE,
    MIGRATOR,
    OWNER,
    PASSWORD,
    READONLY,
    Row,
    clean,
    execute,
    failure,
    one,
    role,
    run,
    session,
    wanted,
)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster without anything of ours: not one of these runs changes it."""
    clean()
    yield
    with session(database="postgres") as cursor:
        assert one(cursor, "SELECT count(*) FROM pg_roles WHERE rolname ~ '^intowork_'") == 0
    clean()


def database(args: Row) -> Row:
    """Return the entry of the database."""
    found: Row = args["databases"][0]
    return found


MISTAKES: list[tuple[Callable[[Row], object], list[str]]] = [
    (lambda args: role(args, APP).update(password="pässword"), [APP, "ASCII", "scripts/secrets"]),
    (lambda args: role(args, APP).update(password=""), [APP, "empty"]),
    (lambda args: role(args, APP).update(name="pg_app"), ["'pg_app'", "reserved"]),
    (lambda args: role(args, APP).update(name="a" * 64), ["63 bytes"]),
    (lambda args: args["roles"].append({"name": APP}), [APP, "2 times", "merge"]),
    (lambda args: args["roles"].append({"name": args["login_user"]}), ["login_user", "SUPERUSER"]),
    (lambda args: role(args, APP).update(attributes=["SUPER"]), ["SUPER", "SUPERUSER, CREATEDB"]),
    (
        lambda args: role(args, APP).update(member_of=["intowork_ownr"]),
        ["'intowork_ownr'", f"mean {OWNER!r}"],
    ),
    (lambda args: role(args, MIGRATOR).update(member_of=[]), [MIGRATOR, "settings.role", f"add {OWNER}"]),
    (lambda args: role(args, APP)["settings"].update(statement_timout="1s"), ["mean statement_timeout?"]),
    (
        lambda args: role(args, APP)["settings"].update(statement_timeout="30 seconds"),
        ["30 seconds", "Valid units"],
    ),
    (lambda args: role(args, APP)["settings"].update(work_mem="1GBB"), ["work_mem", '"1GBB"']),
    (
        lambda args: role(args, APP)["settings"].update(shared_buffers="1GB"),
        ["shared_buffers", "postgresql.conf"],
    ),
    (lambda args: role(args, APP)["settings"].update(work_mem=None), ["work_mem", "no value"]),
    (lambda args: role(args, APP)["settings"].update(role="nobody_here"), ["settings.role", "'nobody_here'"]),
    (lambda args: args["roles"].pop(0), [f"{DATABASE}: owner names {OWNER!r}", "to roles"]),
    (
        lambda args: database(args).update(name="postgres"),
        ["postgres belongs to 'postgres'", "owner: postgres"],
    ),
    (lambda args: database(args).update(connect=["nobody_here"]), ["connect names 'nobody_here'"]),
    (lambda args: database(args)["extensions"].append("vector"), ["'vector'", "postgresql-15-pgvector"]),
    (lambda args: database(args)["extensions"].append("pg_stat_kcache"), ["postgresql-15-pg-stat-kcache"]),
    (lambda args: database(args)["extensions"].append({"nam": "x"}), ["{'schema': None, 'nam': 'x'}"]),
    (
        lambda args: database(args)["extensions"].append({"name": "plpgsql", "schema": "public"}),
        ["pg_catalog"],
    ),
    (lambda args: database(args)["privileges"].append({"role": READONLY}), [READONLY, "2 times"]),
    (lambda args: database(args)["privileges"].append({"role": OWNER}), ["the owner"]),
    (
        lambda args: database(args)["functions"][0].update(search_path=None),
        ["get_auth", "search_path: pg_catalog"],
    ),
    (
        lambda args: database(args)["functions"][0].update(arguments="OUT a text"),
        ["get_auth", "'OUT a text'"],
    ),
    (lambda args: database(args)["functions"][0].update(arguments="a text)"), ["get_auth", "text)"]),
    (
        lambda args: database(args)["functions"][0].update(execute=["nobody_here"]),
        ["get_auth", "'nobody_here'"],
    ),
    (lambda args: args.update(login_database="not_there"), ["not_there", "refused the login"]),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[said[-1] for _mistake, said in MISTAKES])
def test_mistake_is_named_with_what_to_do(mistake: Callable[[Row], object], said: list[str]) -> None:
    args = wanted()
    mistake(args)
    message = failure(args)
    assert [each for each in said if each not in message] == [], message
    assert PASSWORD not in message


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_all_mistakes_come_in_one_list(check: bool) -> None:
    args = wanted()
    database(args)["extensions"].append("vector")
    database(args)["connect"].append("nobody_here")
    role(args, APP)["settings"]["work_mem"] = "much"
    assert len(failure(args, check=check).splitlines()) == 3


def test_statement_that_the_server_refuses_is_shown_with_its_reason_and_nothing_is_kept() -> None:
    args = wanted()
    role(args, OWNER)["member_of"] = [MIGRATOR]
    message = failure(args)
    assert f'"{OWNER}"' in message
    assert "is a member of role" in message
    assert "Nothing of this transaction was kept" in message


def test_login_that_is_no_superuser_is_refused() -> None:
    execute("CREATE ROLE intowork_clerk LOGIN PASSWORD 'plain-words'", database="postgres")
    message = failure(wanted() | {"login_user": "intowork_clerk", "login_password": "plain-words"})
    execute("DROP ROLE intowork_clerk", database="postgres")
    assert "not a superuser" in message


def test_check_mode_on_a_host_without_psycopg2_names_what_is_to_come() -> None:
    result = run(check=True, without=("psycopg2",))
    assert result["changed"]
    assert f"Databases to come: {DATABASE}" in result["msg"]
    assert APP in result["diff"]["prepared"]
    assert "cannot be known" in result["msg"]


def test_check_mode_on_a_host_without_a_server_names_what_is_to_come(tmp_path: Path) -> None:
    result = run(wanted() | {"login_host": None, "socket": str(tmp_path)}, check=True)
    assert result["changed"]
    assert APP in result["msg"]
    assert str(tmp_path) in result["msg"]


def test_run_on_a_host_without_psycopg2_names_the_package() -> None:
    assert "apt-get install python3-psycopg2" in failure(wanted(), without=("psycopg2",))


def test_run_on_a_host_without_a_server_says_where_it_looked(tmp_path: Path) -> None:
    message = failure(wanted() | {"login_host": None, "socket": str(tmp_path)})
    assert str(tmp_path) in message
    assert "pg_lsclusters" in message
