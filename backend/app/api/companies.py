"""Companies: what everybody may know of one, and an employer's own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, status
from pydantic import BaseModel, Field
from sqlalchemy import exists, select, update

from app.answers import AnySelect
from app.auth import SignedInEmployer
from app.changes import Changes
from app.database import Database
from app.fields import LongText, PathId, ShortText, WebAddress
from app.job_access import company_of
from app.models import Company as Stored
from app.models import Employer

router = APIRouter(prefix="/api/companies", tags=["companies"])


class Company(BaseModel):
    """A company."""

    id: int = Field(examples=[3])
    name: str = Field(examples=["Atelier Nova"])
    description: str | None = Field(examples=["We build tools for people who build."])
    industry: str | None = Field(examples=["Software"])
    size: str | None = Field(examples=["11-50"])
    website_url: str | None = Field(examples=["https://nova.example.com"])
    linkedin_url: str | None = Field(examples=["https://www.linkedin.com/company/nova"])
    address: str | None = Field(examples=["12 rue de la République"])
    city: str | None = Field(examples=["Lyon"])
    country: str | None = Field(examples=["France"])
    logo_url: str | None = Field(examples=["https://nova.example.com/logo.png"])


class CompanyChanges(Changes):
    """What changes about a company."""

    name: ShortText = Field(default_factory=str, examples=["Atelier Nova"])
    description: LongText | None = None
    industry: ShortText | None = None
    size: ShortText | None = Field(None, examples=["51-200"])
    website_url: WebAddress | None = None
    linkedin_url: WebAddress | None = None
    address: ShortText | None = None
    city: ShortText | None = None
    country: ShortText | None = None
    logo_url: WebAddress | None = None


_COLUMNS = [getattr(Stored, name) for name in Company.model_fields]
_OWN: dict[int | str, dict[str, Any]] = {403: {"description": "Only for employers who have joined a company"}}


def company_statement(company_id: int) -> AnySelect:
    """The statement of one company."""
    return select(*_COLUMNS).where(Stored.id == company_id)


@router.get("/mine", responses=_OWN)
async def mine(asking: SignedInEmployer, database: Database) -> Company:
    """The signed-in employer's company."""
    found = (await database.execute(company_statement(company_of(asking)))).mappings().one()
    return Company.model_validate(dict(found))


@router.patch("/mine", responses={403: {"description": "Only for administrators of the company"}})
async def change_mine(changes: CompanyChanges, asking: SignedInEmployer, database: Database) -> Company:
    """Change the signed-in employer's company; only for those who administer it."""
    administers = exists().where(Employer.id == asking.employer_id, Employer.is_admin.is_(True))
    statement = (
        update(Stored)
        .where(Stored.id == company_of(asking), administers)
        .values(**changes.named())
        .returning(*_COLUMNS)
    )
    changed = (await database.execute(statement)).mappings().one_or_none()
    if changed is None:
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, "Only an administrator of the company may change it; ask one of them."
        )
    await database.commit()
    return Company.model_validate(dict(changed))


@router.get("/{company_id}", responses={404: {"description": "There is no such company"}})
async def company(company_id: PathId, database: Database) -> Company:
    """One company, for everybody."""
    found = (await database.execute(company_statement(company_id))).mappings().one_or_none()
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"No company has the id {company_id}.")
    return Company.model_validate(dict(found))
