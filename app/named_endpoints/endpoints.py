"""``/v1/endpoints``."""

from fastapi import APIRouter, Request, Response

from app.auth.routes import ProtectedRoute
from app.core.db import endpoints
from app.dependencies import DatabaseDep, Page, PageDep, PrincipalDep, page_of
from app.domain.documents.endpoint_target import EndpointTarget
from app.errors import problems
from app.inference.runtime import InferenceRuntime
from app.named_endpoints import service
from app.named_endpoints.schemas import EndpointName, EndpointRead, ShadowAgreementRead
from app.rows import UnreadableRow, read_row

router = APIRouter(prefix="/v1/endpoints", tags=["endpoints"], route_class=ProtectedRoute)


@router.put(
    "/{endpoint_name}",
    responses={
        201: {"model": EndpointRead, "description": "The endpoint is new."},
        **problems(400, 404, 408, 409, 413, 422, 500, 503),
    },
)
def set_endpoint(
    endpoint_name: EndpointName, body: EndpointTarget, database: DatabaseDep, response: Response
) -> EndpointRead:
    """Point an endpoint at a model: create it, or move it in one call.

    The name then stands for the model wherever predictions are asked for, so that a client's URL outlives a
    retrained student. A canary is a second model that answers a share of the requests. Requests follow
    within five seconds. All models of an endpoint do the same task.

    A fallback is the teacher of the model, a student: the student answers where it is sure enough for both
    together to keep the share `retain` of the teacher's metric on dev, and the teacher otherwise. Each label
    of an answer then has a `model`. How often each answers is in `exports.*.cascade` of the student.

    A shadow is another model, such as the teacher, that a share of the texts also goes to once they are
    answered, and while nobody waits for a prediction: `shadow_agreement` and the metrics say how often it
    answers the same. Its answers are not sent to anyone, and do not count as predictions.
    """
    with database.transaction() as session:
        endpoint, is_new = service.set_endpoint(session, endpoint_name, body)
        read = read_row(EndpointRead.of, endpoint)
    if is_new:
        response.status_code = 201
        response.headers["location"] = f"/v1/endpoints/{endpoint_name}"
    return read


@router.get("", responses=problems(422, 500, 503))
def list_endpoints(page: PageDep, database: DatabaseDep) -> Page[EndpointRead | UnreadableRow]:
    """List endpoints, newest first."""
    with database.reading() as session:
        rows = endpoints.list_endpoints(session, limit=page.limit + 1, after=page.after)
    return page_of(EndpointRead.of, rows, limit=page.limit)


@router.get("/{endpoint_name}", responses=problems(404, 422, 500, 503))
def get_endpoint(
    endpoint_name: EndpointName, database: DatabaseDep, principal: PrincipalDep, request: Request
) -> EndpointRead:
    """Get an endpoint: what it stands for, what it stood for before, and how its shadow agrees with it."""
    with database.reading() as session:
        read = read_row(EndpointRead.of, endpoints.get_endpoint(session, endpoint_name))
    inference: InferenceRuntime = request.app.state.inference
    if (seen := inference.shadow_agreement(principal.project_id, endpoint_name)) is not None:
        read.shadow_agreement = ShadowAgreementRead.of(seen)
    return read


@router.delete("/{endpoint_name}", status_code=204, responses=problems(404, 422, 500, 503))
def delete_endpoint(endpoint_name: EndpointName, database: DatabaseDep) -> None:
    """Delete an endpoint. Its models stay."""
    with database.transaction() as session:
        session.delete(endpoints.lock_endpoint(session, endpoint_name))


@router.post("/{endpoint_name}/rollback", responses=problems(404, 409, 422, 500, 503))
def roll_back_endpoint(endpoint_name: EndpointName, database: DatabaseDep) -> EndpointRead:
    """Let an endpoint stand again for what it stood for before the last change."""
    with database.transaction() as session:
        endpoint = service.roll_back(session, endpoint_name)
        return read_row(EndpointRead.of, endpoint)
