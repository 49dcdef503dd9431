"""``/v1/workers``."""

from functools import partial

from fastapi import APIRouter

from app.auth.routes import ProtectedRoute
from app.core.db import workers
from app.core.db.base import database_time
from app.dependencies import Page, PageDep, PrincipalDep, WholeDatabaseDep, page_of
from app.errors import problems
from app.rows import UnreadableRow
from app.workers.schemas import WorkerRead

router = APIRouter(prefix="/v1/workers", tags=["workers"], route_class=ProtectedRoute)


@router.get("", responses=problems(422, 500, 503))
def list_workers(
    page: PageDep, principal: PrincipalDep, database: WholeDatabaseDep
) -> Page[WorkerRead | UnreadableRow]:
    """List workers, newest first: those that run, and for a day those that were lost.

    Needs a key of the default project: workers take jobs of all.
    """
    principal.require_operator()
    with database.reading() as session:
        rows = workers.list_workers(session, limit=page.limit + 1, after=page.after)
        now = database_time(session)
    return page_of(partial(WorkerRead.of, now=now), rows, limit=page.limit)
