"""What the endpoints of projects and keys take and give."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from app.core.db.api_keys import ApiKey
from app.core.db.audit import AuditEntry
from app.core.db.projects import Project
from app.core.db.usage import Usage
from app.dependencies import Name
from app.domain.exact_types import ExactModel
from app.domain.scopes import Scope
from app.projects.limits import ProjectLimits

MAX_OVERLAP_S = 30 * 24 * 3600


def _require_date(value: object) -> object:
    """Refuse a number, also one in quotes: it would be read as seconds since 1970."""
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("send a date and time, such as 2030-12-31T23:59:59Z")
    return value


_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_require_date)]


class ProjectCreate(ExactModel):
    """A project to add."""

    name: Name
    limits: ProjectLimits = ProjectLimits()


class ProjectUpdate(ExactModel):
    """What to change of a project. Limits that are not named stay as they are."""

    limits: ProjectLimits


class ProjectRead(BaseModel):
    """A project: models, data sets, jobs and keys belong to one."""

    id: str
    object: Literal["project"] = "project"
    created_at: datetime
    name: str
    limits: ProjectLimits

    @classmethod
    def of(cls, project: Project) -> "ProjectRead":
        limits = {name: getattr(project, name) for name in ProjectLimits.model_fields}
        return cls(
            id=project.id, created_at=project.created_at, name=project.name, limits=ProjectLimits(**limits)
        )


class ProjectUsage(BaseModel):
    """What a project has now, and has used today."""

    stored_bytes: int
    queued_jobs: int
    running_jobs: int
    predictions_today: int = Field(description="Texts, since 00:00 UTC; some seconds behind.")


class ProjectWithUsage(ProjectRead):
    """A project and what it has used of its limits."""

    usage: ProjectUsage

    @classmethod
    def using(cls, project: Project, usage: Usage) -> "ProjectWithUsage":
        return cls(**dict(ProjectRead.of(project)), usage=ProjectUsage(**usage._asdict()))


class AuditRead(BaseModel):
    """One change: who made it, what it was, and to what."""

    id: str
    object: Literal["audit_entry"] = "audit_entry"
    created_at: datetime
    project: str
    actor: str = Field(description="Id of an API key, `loopback` (without a key) or `command line`.")
    action: str = Field(description="Operation that was asked for, such as `createJob`.")
    target: str = Field(description="Id of what was changed.")
    change: str = Field(description="`created`, `updated` or `deleted`.")
    request_id: str | None

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditRead":
        return cls(
            id=entry.id,
            created_at=entry.created_at,
            project=entry.project_id,
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            change=entry.change,
            request_id=entry.request_id,
        )


class KeyCreate(ExactModel):
    """An API key to create."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)] = Field(
        description="What the key may do. `write` includes `read`; `admin` includes all."
    )
    expires_at: _Moment | None = Field(default=None, description="Null for a key that does not expire.")
    project: str | None = Field(
        default=None,
        description="Project of the key; default: that of the request. Only keys of the default project can "
        "name another.",
    )


class KeyRotate(ExactModel):
    """How a key gets its new secret."""

    overlap_s: int = Field(
        default=24 * 3600,
        ge=0,
        le=MAX_OVERLAP_S,
        description="Seconds for which the previous secret goes on working.",
    )


class KeyRead(BaseModel):
    """An API key, without its secret."""

    id: str
    object: Literal["key"] = "key"
    created_at: datetime
    name: str
    project: str
    scopes: list[str]
    expires_at: datetime | None
    previous_expires_at: datetime | None = Field(
        description="When the secret before the last rotation stops working."
    )
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, key: ApiKey) -> "KeyRead":
        return cls(
            id=key.id,
            created_at=key.created_at,
            name=key.name,
            project=key.project_id,
            scopes=key.scopes,
            expires_at=key.expires_at,
            previous_expires_at=key.previous_expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )


class KeyWithSecret(KeyRead):
    """An API key with its secret, which is shown this once."""

    secret: str = Field(description="To be sent as `Authorization: Bearer <secret>`.")

    @classmethod
    def with_token(cls, key: ApiKey, token: str) -> "KeyWithSecret":
        return cls(**KeyRead.of(key).model_dump(), secret=token)
