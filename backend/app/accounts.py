"""Which user has which account at another provider."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, delete, exists, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account

SHOWN = (
    Account.provider,
    Account.provider_account_id,
    Account.token_type,
    Account.scope,
    Account.expires_at,
    Account.access_token.is_not(None).label("has_access_token"),
    Account.refresh_token.is_not(None).label("has_refresh_token"),
    Account.created_at,
    Account.updated_at,
)


async def link_account(
    database: AsyncSession, user_id: int, provider: str, account_id: str, values: dict[str, Any]
) -> RowMapping | None:
    """Link an account to a user, in place of the one that they had there; the columns `SHOWN`.

    None when another user has it. `values` are the other columns, tokens sealed. The caller commits, or rolls
    back on None.
    """
    # One at a time looks and links: the second then sees the first, instead of an error of the unique rule.
    lock = func.pg_advisory_xact_lock(func.hashtextextended(f"{provider}\n{account_id}", 0))
    await database.execute(select(lock))
    row = {
        "user_id": user_id,
        "type": "oauth",
        "provider": provider,
        "provider_account_id": account_id,
        **values,
    }
    elsewhere = exists().where(
        Account.provider == provider, Account.provider_account_id == account_id, Account.user_id != user_id
    )
    columns = [literal(value, getattr(Account, name).type) for name, value in row.items()]
    linking = insert(Account).from_select([*row], select(*columns).where(~elsewhere))
    changed = {name: linking.excluded[name] for name in row}
    linking = linking.on_conflict_do_update(
        constraint="unique_user_provider_account", set_={**changed, "updated_at": func.now()}
    )
    linked = (await database.execute(linking.returning(*SHOWN))).mappings().one_or_none()
    if linked is not None:
        await database.execute(
            delete(Account).where(
                Account.user_id == user_id,
                Account.provider == provider,
                Account.provider_account_id != account_id,
            )
        )
    return linked
