"""``/v1/projects`` and ``/v1/audit``."""

from fastapi import APIRouter

from app.auth.routes import AdminRoute
from app.core.db import audit, projects
from app.core.db.usage import usage_of
from app.core.ids import new_id
from app.dependencies import (
    ActorDep,
    Page,
    PageDep,
    PrincipalDep,
    VisibleProjectsDep,
    WholeDatabaseDep,
    page_of,
)
from app.errors import problems
from app.idempotency.creation import CreationDep
from app.projects import service
from app.projects.schemas import AuditRead, ProjectCreate, ProjectRead, ProjectUpdate, ProjectWithUsage
from app.rows import UnreadableRow, read_row

router = APIRouter(prefix="/v1", route_class=AdminRoute)


@router.post(
    "/projects",
    status_code=201,
    tags=["projects"],
    responses=problems(400, 408, 409, 413, 422, 500, 503, 507),
)
def create_project(
    body: ProjectCreate,
    principal: PrincipalDep,
    actor: ActorDep,
    database: WholeDatabaseDep,
    creation: CreationDep,
) -> ProjectRead:
    """Create a project. Needs a key of the default project."""
    principal.require_operator()
    with creation.transaction(database.of(new_id("prj"), actor)) as session:
        project = service.create_project(session, name=body.name, limits=body.limits)
        read = read_row(ProjectRead.of, project)
        return creation.answer(session, read, location=f"/v1/projects/{project.id}")


@router.get("/projects", tags=["projects"], responses=problems(422, 500, 503))
def list_projects(page: PageDep, visible: VisibleProjectsDep) -> Page[ProjectRead | UnreadableRow]:
    """List projects, newest first: all for a key of the default project, its own for any other."""
    with visible.reading() as session:
        rows = projects.list_projects(session, limit=page.limit + 1, after=page.after)
    return page_of(ProjectRead.of, rows, limit=page.limit)


@router.get("/projects/{project_id}", tags=["projects"], responses=problems(404, 500, 503))
def get_project(project_id: str, visible: VisibleProjectsDep, database: WholeDatabaseDep) -> ProjectWithUsage:
    """Get a project: its limits, and what it has used of them."""
    with visible.reading() as session:
        project = projects.get_project(session, project_id)
    with database.of(project.id).reading() as session:
        return ProjectWithUsage.using(project, usage_of(session))


@router.patch(
    "/projects/{project_id}", tags=["projects"], responses=problems(400, 404, 408, 413, 422, 500, 503, 507)
)
def update_project(
    project_id: str,
    body: ProjectUpdate,
    principal: PrincipalDep,
    actor: ActorDep,
    visible: VisibleProjectsDep,
    database: WholeDatabaseDep,
) -> ProjectRead:
    """Change limits of a project. Needs a key of the default project."""
    with visible.reading() as session:
        project = projects.get_project(session, project_id)
    principal.require_operator()
    with database.of(project.id, actor).transaction() as session:
        project = service.change_limits(session, body.limits)
    return read_row(ProjectRead.of, project)


@router.get("/audit", tags=["audit"], responses=problems(422, 500, 503))
def list_audit_entries(page: PageDep, visible: VisibleProjectsDep) -> Page[AuditRead | UnreadableRow]:
    """List changes, newest first: of all projects for a key of the default one, of its own for any other."""
    with visible.reading() as session:
        rows = audit.list_entries(session, limit=page.limit + 1, after=page.after)
    return page_of(AuditRead.of, rows, limit=page.limit)
