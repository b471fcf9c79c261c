"""What a downgrade throws away, read from its SQL."""

from __future__ import annotations

import pytest
from ansible.module_utils.downgrade_losses import Losses, read_losses


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("DROP TABLE jobs;", {"jobs"}),
        ('DROP TABLE IF EXISTS public.jobs, "Odd name" CASCADE;', {"public.jobs", '"Odd name"'}),
        ("DELETE FROM jobs WHERE id > 3;", {"jobs"}),
        ("UPDATE ONLY jobs SET status = 'draft';", {"jobs"}),
        ("TRUNCATE TABLE jobs, skills;", {"jobs", "skills"}),
        ("DO $$ BEGIN DROP TABLE jobs; END $$;", {"jobs"}),
        ("WITH gone AS (DELETE FROM jobs RETURNING 1) SELECT count(*) FROM gone;", {"jobs"}),
    ],
)
def test_rows_that_go_are_found(sql: str, tables: set[str]) -> None:
    assert read_losses(sql) == Losses(tables=tables)


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("ALTER TABLE jobs DROP COLUMN deleted_at;", {"jobs": {"deleted_at"}}),
        ("ALTER TABLE IF EXISTS ONLY public.jobs DROP IF EXISTS Title;", {"public.jobs": {"title"}}),
        ('ALTER TABLE jobs DROP "Odd", DROP COLUMN b;', {"jobs": {"Odd", "b"}}),
        ("ALTER TABLE jobs ALTER COLUMN id TYPE smallint USING id::smallint;", {"jobs": {"id"}}),
        ("ALTER TABLE jobs ALTER id SET DATA TYPE smallint;", {"jobs": {"id"}}),
        ("ALTER TABLE a DROP COLUMN x;\nALTER TABLE b DROP COLUMN y;", {"a": {"x"}, "b": {"y"}}),
    ],
)
def test_columns_that_go_are_found(sql: str, columns: dict[str, set[str]]) -> None:
    assert read_losses(sql) == Losses(columns=columns)


def test_a_schema_that_goes_is_found() -> None:
    assert read_losses('DROP SCHEMA IF EXISTS audit, "Old" CASCADE') == Losses(schemas={"audit", "Old"})


@pytest.mark.parametrize(
    "sql",
    [
        "DROP INDEX CONCURRENTLY ix_jobs;",
        "ALTER TABLE jobs DROP CONSTRAINT unique_title;",
        "ALTER TABLE jobs ALTER COLUMN title DROP NOT NULL;",
        "ALTER TABLE jobs ALTER COLUMN title DROP DEFAULT;",
        "ALTER TABLE jobs ALTER COLUMN id DROP IDENTITY IF EXISTS;",
        "-- DROP TABLE jobs\n/* DELETE FROM jobs */ SELECT 1;",
        "CREATE TRIGGER t BEFORE UPDATE OF title ON jobs FOR EACH ROW EXECUTE FUNCTION f();",
        "CREATE TRIGGER t BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION f();",
        "ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES c ON DELETE CASCADE ON UPDATE CASCADE;",
    ],
)
def test_what_holds_no_rows_is_none_of_them(sql: str) -> None:
    assert not read_losses(sql)
