"""``/v1/projects``."""

from fastapi import APIRouter, Response

from app.auth.routes import AdminRoute
from app.core.db import projects
from app.dependencies import Page, PageDep, PrincipalDep, VisibleProjectsDep, WholeDatabaseDep, page_of
from app.errors import problems
from app.projects import service
from app.projects.schemas import ProjectCreate, ProjectRead
from app.rows import UnreadableRow, read_row

router = APIRouter(prefix="/v1/projects", tags=["projects"], route_class=AdminRoute)


@router.post("", status_code=201, responses=problems(400, 409, 413, 422, 500, 503))
def create_project(
    body: ProjectCreate, principal: PrincipalDep, database: WholeDatabaseDep, response: Response
) -> ProjectRead:
    """Create a project. Needs a key of the default project."""
    principal.require_operator()
    with database.transaction() as session:
        project = service.create_project(session, name=body.name)
    response.headers["location"] = f"/v1/projects/{project.id}"
    return ProjectRead.of(project)


@router.get("", responses=problems(422, 500, 503))
def list_projects(page: PageDep, visible: VisibleProjectsDep) -> Page[ProjectRead | UnreadableRow]:
    """List projects, newest first: all for a key of the default project, its own for any other."""
    with visible.reading() as session:
        rows = projects.list_projects(session, limit=page.limit + 1, after=page.after)
    return page_of(ProjectRead.of, rows, limit=page.limit)


@router.get("/{project_id}", responses=problems(404, 500, 503))
def get_project(project_id: str, visible: VisibleProjectsDep) -> ProjectRead:
    """Get a project."""
    with visible.reading() as session:
        return read_row(ProjectRead.of, projects.get_project(session, project_id))
