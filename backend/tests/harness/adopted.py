"""A database without rules, such as one that the product grew in before it had migrations."""

from __future__ import annotations

from harness.cluster import Database

# All foreign keys, checks and unique rules of the product's tables; the primary keys stay.
DROP_RULES = """
DO $rules$
DECLARE
    rule record;
BEGIN
    FOR rule IN SELECT conrelid::regclass AS tab, conname FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u')
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.tab, rule.conname);
    END LOOP;
    FOR rule IN SELECT indexrelid::regclass AS name FROM pg_index JOIN pg_class t ON t.oid = indrelid
        WHERE indisunique AND NOT indisprimary AND t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('DROP INDEX %s', rule.name);
    END LOOP;
END
$rules$
"""


def drop_rules(database: Database) -> None:
    """Take every rule away that rows have to keep to, except primary keys and NOT NULL."""
    database.run(DROP_RULES)
