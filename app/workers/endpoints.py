"""``/v1/workers``."""

from functools import partial

from fastapi import APIRouter

from app.core.db import workers
from app.core.db.base import database_time
from app.dependencies import DatabaseDep, Page, PageDep, page_of
from app.errors import problems
from app.rows import UnreadableRow
from app.workers.schemas import WorkerRead

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get("", responses=problems(422, 500, 503))
def list_workers(page: PageDep, database: DatabaseDep) -> Page[WorkerRead | UnreadableRow]:
    """List workers, newest first: those that run, and for a day those that were lost."""
    with database.reading() as session:
        rows = workers.list_workers(session, limit=page.limit + 1, after=page.after)
        now = database_time(session)
    return page_of(partial(WorkerRead.of, now=now), rows, limit=page.limit)
