"""``/v1/keys``."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.auth.key_cache import KeyCache
from app.auth.routes import AdminRoute
from app.core.db import after_commit, api_keys, projects
from app.dependencies import (
    ActorDep,
    DatabaseDep,
    Page,
    PageDep,
    PrincipalDep,
    VisibleProjectsDep,
    WholeDatabaseDep,
    page_of,
)
from app.errors import problems
from app.projects import service
from app.projects.schemas import KeyCreate, KeyRead, KeyRotate, KeyWithSecret
from app.rows import UnreadableRow, read_row

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=AdminRoute)


async def get_key_cache(request: Request) -> KeyCache:
    keys: KeyCache = request.app.state.guard.keys
    return keys


KeyCacheDep = Annotated[KeyCache, Depends(get_key_cache)]


@router.post("", status_code=201, responses=problems(400, 404, 408, 413, 422, 500, 503, 507))
def create_key(
    body: KeyCreate,
    principal: PrincipalDep,
    actor: ActorDep,
    visible: VisibleProjectsDep,
    database: WholeDatabaseDep,
    response: Response,
) -> KeyWithSecret:
    """Create an API key. The answer has its secret, which cannot be shown again."""
    with visible.reading() as session:
        project = projects.get_project(session, body.project or principal.project_id)
    with database.of(project.id, actor).transaction() as session:
        key, token = service.create_key(
            session, name=body.name, scopes=body.scopes, expires_at=body.expires_at
        )
    response.headers["location"] = f"/v1/keys/{key.id}"
    return KeyWithSecret.with_token(key, token)


@router.get("", responses=problems(422, 500, 503))
def list_keys(page: PageDep, database: DatabaseDep) -> Page[KeyRead | UnreadableRow]:
    """List the project's API keys, newest first, those that were revoked or have expired too."""
    with database.reading() as session:
        rows = api_keys.list_keys(session, limit=page.limit + 1, after=page.after)
    return page_of(KeyRead.of, rows, limit=page.limit)


@router.get("/{key_id}", responses=problems(404, 500, 503))
def get_key(key_id: str, database: DatabaseDep) -> KeyRead:
    """Get an API key: its scopes and when it was last used."""
    with database.reading() as session:
        return read_row(KeyRead.of, api_keys.get_key(session, key_id))


@router.post("/{key_id}/rotate", responses=problems(400, 404, 408, 409, 413, 422, 500, 503, 507))
def rotate_key(
    key_id: str, database: DatabaseDep, keys: KeyCacheDep, body: KeyRotate | None = None
) -> KeyWithSecret:
    """Give an API key a new secret. The previous one goes on working for a while, a day by default."""
    overlap = timedelta(seconds=(body or KeyRotate()).overlap_s)
    with database.transaction() as session:
        key, token = service.rotate_key(session, key_id, overlap=overlap)
        after_commit(session, lambda: keys.forget(key.id))
    return KeyWithSecret.with_token(key, token)


@router.post("/{key_id}/revoke", responses=problems(404, 500, 503, 507))
def revoke_key(key_id: str, database: DatabaseDep, keys: KeyCacheDep) -> KeyRead:
    """Revoke an API key: it stops working within seconds, for good."""
    with database.transaction() as session:
        key = service.revoke_key(session, key_id)
        after_commit(session, lambda: keys.forget(key.id))
    return KeyRead.of(key)
