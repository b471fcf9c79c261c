"""The tables. Importing this package makes all of them known to `Base.metadata`."""

from app.models.applications import APPLICATION_STATUSES, JobApplication
from app.models.base import Base
from app.models.candidates import SKILL_CATEGORIES, Candidate, CandidateCv, Education, Experience, Skill
from app.models.companies import Company, Employer
from app.models.jobs import JOB_STATUSES, JOB_TYPES, LOCATION_TYPES, Job
from app.models.notifications import NOTIFICATION_TYPES, ArchivedNotification, Notification
from app.models.users import (
    USER_ROLES,
    Account,
    PasswordResetToken,
    RateLimit,
    Session,
    User,
    VerificationToken,
)

__all__ = [
    "APPLICATION_STATUSES",
    "JOB_STATUSES",
    "JOB_TYPES",
    "LOCATION_TYPES",
    "NOTIFICATION_TYPES",
    "SKILL_CATEGORIES",
    "USER_ROLES",
    "Account",
    "ArchivedNotification",
    "Base",
    "Candidate",
    "CandidateCv",
    "Company",
    "Education",
    "Employer",
    "Experience",
    "Job",
    "JobApplication",
    "Notification",
    "PasswordResetToken",
    "RateLimit",
    "Session",
    "Skill",
    "User",
    "VerificationToken",
]
