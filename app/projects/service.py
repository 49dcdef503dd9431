"""Creating projects and API keys, replacing a key's secret and ending it."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from app.auth.tokens import digest_of, new_token
from app.core.db import ProjectWriteSession
from app.core.db.api_keys import ApiKey, lock_key
from app.core.db.base import database_time
from app.core.db.projects import Project, lock_project
from app.core.ids import new_id
from app.domain.errors import Conflict, InvalidRequest
from app.domain.scopes import SCOPES, Scope
from app.projects.limits import ProjectLimits


def create_project(session: ProjectWriteSession, *, name: str, limits: ProjectLimits) -> Project:
    """Add the project that a session is bound to.

    Raises:
        Conflict: there is one of that name.
    """
    project = Project(id=session.project_id, name=name, **limits.model_dump())
    try:
        with session.begin_nested():
            session.add(project)
    except IntegrityError:
        raise Conflict(
            "project_exists", f"There is already a project {name!r}. Use another name.", name=name
        ) from None
    return project


def change_limits(session: ProjectWriteSession, limits: ProjectLimits) -> Project:
    """Change those limits of the session's project that are given."""
    project = lock_project(session)
    for name, limit in limits.model_dump(exclude_unset=True).items():
        setattr(project, name, limit)
    return project


def create_key(
    session: ProjectWriteSession,
    *,
    name: str,
    scopes: Collection[Scope],
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Add a key to the session's project; returns it with its token, which nobody can find out later.

    Raises:
        InvalidRequest: the key would have expired by now.
    """
    if expires_at is not None and expires_at <= database_time(session):
        raise InvalidRequest(
            "expiry_in_the_past",
            f"expires_at is {expires_at.isoformat()}, which has passed. Use a later time.",
            pointer="#/expires_at",
        )
    key_id = new_id("key")
    token = new_token(key_id)
    key = ApiKey(
        id=key_id,
        name=name,
        scopes=[scope for scope in SCOPES if scope in scopes],
        digest=digest_of(token),
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, token


def rotate_key(session: ProjectWriteSession, key_id: str, *, overlap: timedelta) -> tuple[ApiKey, str]:
    """Give a key a new token; the one that it had goes on working for the overlap, an older one does not.

    Raises:
        NotFound: there is no such key.
        Conflict: it was revoked or has expired.
    """
    key = lock_key(session, key_id)
    now = database_time(session)
    if key.revoked_at is not None or key.has_expired(now):
        raise Conflict(
            "key_not_active",
            f"The key {key.id} was revoked or has expired. Create another one.",
            id=key.id,
        )
    token = new_token(key.id)
    key.previous_digest, key.previous_expires_at = key.digest, now + overlap
    key.digest = digest_of(token)
    return key, token


def revoke_key(session: ProjectWriteSession, key_id: str) -> ApiKey:
    """End a key, both of its tokens; one that has ended stays as it is.

    Raises:
        NotFound: there is no such key.
    """
    key = lock_key(session, key_id)
    key.revoked_at = key.revoked_at or database_time(session)
    return key
