"""What endpoints ask for: the database, the stores, a page."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from fastapi import Depends, Query, Request
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic.alias_generators import to_camel

from app.auth.principal import Principal
from app.core.db import Actor, Database, ProjectDatabase
from app.core.places import Places
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from app.domain.errors import InvalidRequest
from app.rows import Row, UnreadableRow, read_listed_row

_MAX_PAGE = 100


T = TypeVar("T")

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
"""Display name; no control characters."""


# Coroutines, for FastAPI gives any other function a thread.
async def get_principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def get_whole_database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


PrincipalDep = Annotated[Principal, Depends(get_principal)]
WholeDatabaseDep = Annotated[Database, Depends(get_whole_database)]
"""For what concerns the installation; what serves a project takes ``DatabaseDep``."""


async def get_actor(request: Request, principal: PrincipalDep) -> Actor:
    return Actor(principal.name, to_camel(request.scope["route"].name), request.state.request_id)


ActorDep = Annotated[Actor, Depends(get_actor)]
"""In whose name a request changes something, for the audit log."""


async def get_database(
    principal: PrincipalDep, actor: ActorDep, database: WholeDatabaseDep
) -> ProjectDatabase:
    return database.of(principal.project_id, actor)


async def get_visible_projects(
    principal: PrincipalDep, database: WholeDatabaseDep
) -> Database | ProjectDatabase:
    """All projects to a key of the default one, and to any other its own."""
    return database if principal.is_operator else database.of(principal.project_id)


async def get_storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


async def get_queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


async def get_upload_places(request: Request) -> Places:
    places: Places = request.app.state.uploads
    return places


async def get_download_places(request: Request) -> Places:
    places: Places = request.app.state.downloads
    return places


async def get_app_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


# Endpoints open and close a session themselves, in the thread they run in: one that stayed open until the
# answer is validated would wait for a second thread while others wait for its connection.
DatabaseDep = Annotated[ProjectDatabase, Depends(get_database)]
VisibleProjectsDep = Annotated[Database | ProjectDatabase, Depends(get_visible_projects)]
StorageDep = Annotated[Storage, Depends(get_storage)]
QueueDep = Annotated[Queue, Depends(get_queue)]
UploadPlacesDep = Annotated[Places, Depends(get_upload_places)]
DownloadPlacesDep = Annotated[Places, Depends(get_download_places)]
SettingsDep = Annotated[Settings, Depends(get_app_settings)]


def require_known_fields(given: Iterable[str], known: Sequence[str]) -> None:
    """Refuse a form with an unknown field: it is most likely a misspelt one.

    Raises:
        InvalidRequest: there is one.
    """
    for name in given:
        if name not in known:
            raise InvalidRequest(
                "unknown_field",
                f"Unknown field {name[:50]!r}; known fields are {', '.join(known)}. Fix the name or remove "
                "the field.",
                pointer=f"#/{name[:50]}",
                field=name[:50],
                known=list(known),
            )


Limit = Annotated[
    int,
    Query(ge=1, description=f"Page size; values above {_MAX_PAGE} are treated as {_MAX_PAGE}."),
    AfterValidator(lambda limit: min(limit, _MAX_PAGE)),
]
After = Annotated[
    str | None,
    Query(pattern=r"^[a-z]{3}_[0-9A-Z]{26}$", description="Cursor: the last id of the previous page."),
]


class PageQuery(BaseModel):
    """Which part of a list."""

    limit: int
    after: str | None


async def get_page(limit: Limit = 20, after: After = None) -> PageQuery:
    return PageQuery(limit=limit, after=after)


PageDep = Annotated[PageQuery, Depends(get_page)]


class Page(BaseModel, Generic[T]):
    """One part of a list, newest first."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    next: str | None = Field(default=None, description="Cursor of the next page, to pass as `after`.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Named after its entries, whether or not some may be unreadable: a generated client has the name."""
        entries = [kind for param in params for kind in get_args(param) or (param,)]
        return f"Page_{'_'.join(kind.__name__ for kind in entries if kind is not UnreadableRow)}_"


def page_of(read: Callable[[Row], T], rows: Sequence[Row], *, limit: int) -> Page[T | UnreadableRow]:
    """A page from one row more than fits, which tells whether there is another."""
    shown = rows[:limit]
    has_more = len(rows) > limit
    return Page(
        data=[read_listed_row(read, row) for row in shown],
        has_more=has_more,
        next=shown[-1].id if has_more else None,
    )
