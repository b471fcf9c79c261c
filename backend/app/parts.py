"""Parts of a candidate's profile: rows of their own, so many at most, which nobody else reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException, status
from pydantic import BaseModel
from sqlalchemy import CTE, RowMapping, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.changes import Changes, Rule, merged
from app.models import Candidate, CandidateCv, Education, Experience, Skill

Part = type[CandidateCv] | type[Education] | type[Experience] | type[Skill]

# Of each kind, for one candidate.
MOST = 100

LIST_RESPONSES: dict[int | str, dict[str, Any]] = {403: {"description": "Only for candidates"}}
CREATE_RESPONSES: dict[int | str, dict[str, Any]] = {
    **LIST_RESPONSES,
    409: {"description": f"There are {MOST} of them already"},
}
OWN_RESPONSES: dict[int | str, dict[str, Any]] = {
    **LIST_RESPONSES,
    404: {"description": "There is none of yours with this id"},
}


def columns(part: Part, shown: type[BaseModel]) -> list[Any]:
    """The columns of `part` that `shown` has fields for."""
    return [getattr(part, name) for name in shown.model_fields]


async def one_at_a_time(database: AsyncSession, candidate_id: int) -> None:
    """Let other changes that count or compare this candidate's parts wait until this transaction ends.

    What the next statement sees is then all that they have done.
    """
    await database.execute(
        select(Candidate.id).where(Candidate.id == candidate_id).with_for_update(key_share=True)
    )


async def owned(
    database: AsyncSession, part: Part, shown: type[BaseModel], candidate_id: int, *order: Any
) -> Sequence[RowMapping]:
    """All parts of this kind that the candidate has."""
    statement = select(*columns(part, shown)).where(part.candidate_id == candidate_id)
    return (await database.execute(statement.order_by(*order, part.id.desc()).limit(MOST))).mappings().all()


async def create(
    database: AsyncSession,
    part: Part,
    shown: type[BaseModel],
    candidate_id: int,
    values: dict[str, Any],
    *alongside: CTE,
) -> RowMapping:
    """Insert one, unless there are `MOST` already, together with other writes `alongside`.

    Raises:
        HTTPException: 409 when there are.
    """
    await one_at_a_time(database, candidate_id)
    given = {**values, "candidate_id": candidate_id}
    there = (
        select(func.count())
        .select_from(part)
        .where(part.candidate_id == candidate_id)
        .correlate(None)
        .scalar_subquery()
    )
    row = select(*(literal(value, getattr(part, name).type) for name, value in given.items()))
    statement = (
        insert(part)
        .from_select([*given], row.where(there < MOST))
        .returning(*columns(part, shown))
        .add_cte(*alongside)
    )
    made = (await database.execute(statement)).mappings().one_or_none()
    if made is None:
        raise HTTPException(
            status.HTTP_409_CONFLICT, f"You have {MOST} of them already, the most there may be; delete one."
        )
    await database.commit()
    return made


async def change(
    database: AsyncSession,
    part: Part,
    shown: type[BaseModel],
    candidate_id: int,
    part_id: int,
    changes: Changes,
    *rules: Rule,
) -> RowMapping:
    """Change one, once `rules` agree with what it then is.

    Raises:
        HTTPException: 404 when the candidate has none with this id.
        RequestValidationError: a rule is broken.
    """
    mine = (part.id == part_id, part.candidate_id == candidate_id)
    stored = (
        (await database.execute(select(*columns(part, shown)).where(*mine).with_for_update(key_share=True)))
        .mappings()
        .one_or_none()
    )
    if stored is None:
        raise none_of_yours(part_id)
    values = merged(dict(stored), changes, *rules)
    statement = update(part).where(*mine).values(**values).returning(*columns(part, shown))
    changed = (await database.execute(statement)).mappings().one()
    await database.commit()
    return changed


async def remove(database: AsyncSession, part: Part, candidate_id: int, part_id: int) -> None:
    """Delete one; 404 when the candidate has none with this id."""
    statement = delete(part).where(part.id == part_id, part.candidate_id == candidate_id).returning(part.id)
    if (await database.execute(statement)).one_or_none() is None:
        raise none_of_yours(part_id)
    await database.commit()


def none_of_yours(part_id: int) -> HTTPException:
    """404 for an id that is not there, or somebody else's: which of them is not told."""
    return HTTPException(status.HTTP_404_NOT_FOUND, f"There is none of yours with the id {part_id}.")
