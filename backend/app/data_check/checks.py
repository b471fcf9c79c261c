"""What is looked for: each rule of the schema, as a question whose answers are the rows that break it.

The rules are those of the models. What the database is like is read from it, not taken from them: the command
is for databases of an older revision too, or of no revision at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import CheckConstraint, Index, Table, UniqueConstraint

from app.models import Base

Columns = Mapping[str, frozenset[str]]
"""The columns of each table that there is."""

# Of two applications the one furthest along stays.
FURTHEST_FIRST = ("accepted", "interview", "shortlisted", "viewed", "applied")
# Unique rules whose duplicates are looked for in words of their own.
IN_WORDS = {
    "unique_candidate_job_application",
    "unique_user_provider_account",
    "unique_accounts_provider_account",
    "unique_users_email_lower",
    "users_email_key",
}
A_PERSON = "a person decides; nothing is done about it here"


@dataclass(frozen=True)
class Check:
    """One rule, and what is done about rows that break it.

    Attributes:
        name: how it is called in the report.
        wrong: what is wrong with what is found.
        table: the table whose ids are found.
        question: a SELECT of (of, ids): what the rows have in common, and their ids.
        rule: what `--clean` does.
        action: `keep first`, `delete`, `empty COLUMN`, or nothing where a person decides.
    """

    name: str
    wrong: str
    table: str
    question: str
    rule: str
    action: str = ""


def checks(columns: Columns) -> list[Check]:
    """All checks that a database with these columns can be asked, in the order in which cleaning goes."""
    return [*_orphans(columns), *_duplicates(columns), *_not_unique(columns), *_broken(columns)]


def _orphans(columns: Columns) -> Iterator[Check]:
    for table in _tables(columns):
        for key in sorted(table.foreign_keys, key=lambda each: each.parent.name):
            child, column, parent = table.name, key.parent.name, key.column.table.name
            if "id" not in columns[child] or column not in columns[child] or parent not in columns:
                continue
            gone = key.ondelete == "CASCADE"
            yield Check(
                name=f"orphans {child}.{column}",
                wrong=f"rows of {child} whose {column} names nobody in {parent}",
                table=child,
                question=f"""
                    SELECT format('{column} %s', {column}), array_agg(id ORDER BY id) FROM {child}
                    WHERE NOT EXISTS (SELECT FROM {parent} WHERE {parent}.id = {child}.{column})
                        AND {column} IS NOT NULL
                    GROUP BY {column} ORDER BY {column}""",  # noqa: S608 - names of the models
                rule="deleted, with all that belongs to them" if gone else f"{column} is emptied",
                action="delete" if gone else f"empty {column}",
            )


def _duplicates(columns: Columns) -> Iterator[Check]:
    live_first = "deleted_at IS NOT NULL, " if "deleted_at" in columns["job_applications"] else ""
    ranks = ", ".join(f"'{status}'" for status in FURTHEST_FIRST)
    yield Check(
        name="duplicate applications",
        wrong="candidates with more than one application for the same job that is not rejected",
        table="job_applications",
        question=f"""
            SELECT format('candidate %s, job %s', candidate_id, job_id), array_agg(
                id ORDER BY {live_first}array_position(ARRAY[{ranks}], status), applied_at DESC, id DESC)
            FROM job_applications WHERE status <> 'rejected'
            GROUP BY candidate_id, job_id HAVING count(*) > 1 ORDER BY candidate_id, job_id""",  # noqa: S608
        rule=f"the one furthest on stays ({' > '.join(FURTHEST_FIRST)}; then the newest) and is named first;"
        " the others become rejected, with a note",
        action="keep first",
    )
    yield Check(
        name="duplicate accounts",
        wrong="accounts of another provider that are stored more than once",
        table="accounts",
        question="""
            SELECT format('user %s, provider %s', user_id, provider),
                array_agg(id ORDER BY updated_at DESC NULLS LAST, id DESC)
            FROM accounts GROUP BY user_id, provider, provider_account_id HAVING count(*) > 1
            ORDER BY user_id, provider, min(id)""",
        rule="the one updated last stays, it is named first; the others are deleted",
        action="keep first",
    )
    yield Check(
        name="shared accounts",
        wrong="accounts of another provider that more than one user has",
        table="accounts",
        question="""
            SELECT format('provider %s', provider), array_agg(id ORDER BY id) FROM accounts
            GROUP BY provider, provider_account_id HAVING count(DISTINCT user_id) > 1 ORDER BY min(id)""",
        rule=A_PERSON,
    )
    yield Check(
        name="same addresses",
        wrong="users who have the same address, but for capitals",
        table="users",
        question="""
            SELECT '', array_agg(id ORDER BY id) FROM users
            GROUP BY lower(email) HAVING count(*) > 1 ORDER BY min(id)""",
        rule=A_PERSON,
    )


def _not_unique(columns: Columns) -> Iterator[Check]:
    """The unique rules that `_duplicates` has no words for."""
    for table in _tables(columns):
        rules: list[UniqueConstraint | Index] = [index for index in table.indexes if index.unique]
        rules += [each for each in table.constraints if isinstance(each, UniqueConstraint)]
        for rule in sorted(rules, key=_name):
            parts = [str(part.name) for part in rule.columns]
            if _name(rule) in IN_WORDS or not {"id", *parts} <= columns[table.name]:
                continue
            listed = ", ".join(parts)
            present = " AND ".join(f"{part} IS NOT NULL" for part in parts)
            yield Check(
                name=_name(rule),
                wrong=f"rows of {table.name} that have the same {listed}",
                table=table.name,
                question=f"""
                    SELECT '', array_agg(id ORDER BY id) FROM {table.name} WHERE {present}
                    GROUP BY {listed} HAVING count(*) > 1 ORDER BY min(id)""",  # noqa: S608
                rule=A_PERSON,
            )


def _name(rule: UniqueConstraint | Index) -> str:
    return str(rule.name)


def _broken(columns: Columns) -> Iterator[Check]:
    for table in _tables(columns):
        found = [each for each in table.constraints if isinstance(each, CheckConstraint)]
        for constraint in sorted(found, key=lambda each: str(each.name)):
            condition = str(constraint.sqltext)
            named = set(re.findall(r"\w+", condition)) & {column.name for column in table.columns}
            if not named <= columns[table.name]:
                continue
            hint = "; python -m app.cli seal-tokens seals them" if "sealed" in condition else ""
            yield Check(
                name=str(constraint.name),
                wrong=f"rows of {table.name} for which this is not true: {condition}",
                table=table.name,
                question=f"SELECT '', ARRAY[id] FROM {table.name} WHERE NOT ({condition}) ORDER BY id",  # noqa: S608
                rule=A_PERSON + hint,
            )


def _tables(columns: Columns) -> list[Table]:
    """The product's tables that there are, parents before their children."""
    return [table for table in Base.metadata.sorted_tables if table.name in columns]
