"""Whether rows changed: a checksum of each table, without what a load writes."""

from __future__ import annotations

from shared.sql import Superuser

# Who writes while a load goes on.
LOAD = "load@example.com"
# query_to_xml is how a query reaches tables whose names it has from another one.
CHECKSUMS = f"""
SELECT relname, md5(query_to_xml(format(
    $q$SELECT t::text FROM public.%I t
       WHERE coalesce(to_jsonb(t) ->> 'email', '') <> '{LOAD}'
       AND coalesce(to_jsonb(t) ->> 'user_id', '')
           NOT IN (SELECT id::text FROM public.users WHERE email = '{LOAD}')
       ORDER BY 1$q$, relname), true, false, '')::text)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


def checksums(superuser: Superuser) -> dict[str, str]:
    """The checksum of each table's rows by its name."""
    return dict(line.split("|") for line in superuser(CHECKSUMS).splitlines())
