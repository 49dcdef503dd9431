"""Is the process alive, can it work, and what has it done."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.auth.routes import ProtectedRoute, PublicRoute
from app.dependencies import PrincipalDep, WholeDatabaseDep
from app.domain.errors import NotReady
from app.errors import problems
from app.metrics import job_metrics, queue_metrics, worker_metrics
from app.readiness import Dependency, Readiness, ReadinessRead

router = APIRouter(tags=["health"], route_class=PublicRoute)
operator_router = APIRouter(tags=["health"], route_class=ProtectedRoute)


@router.get("/healthz")
async def get_health() -> dict[str, str]:
    """Liveness: the process responds, even if all threads of its pool are busy."""
    return {"status": "ok"}


@router.get("/readyz", responses=problems(422, 503))
async def get_readiness(
    request: Request,
    exclude: Annotated[
        list[Dependency], Query(description="Dependencies that do not count, such as those of job creation.")
    ] = [],  # noqa: B006 - FastAPI reads it
) -> ReadinessRead:
    """Readiness: database, broker and object store respond and disks have room; otherwise 503.

    Both answers name each dependency with its state: `ok`, `none`, `full` or `not responding`. Models that
    are loaded go on predicting while everything else is away: for processes that serve predictions, exclude
    what they can do without.
    """
    readiness: Readiness = request.app.state.readiness
    states = await readiness.states()
    ignored = {"workers", *exclude}
    failing = [name for name, state in states.items() if state not in ("ok", "none") and name not in ignored]
    if failing:
        what = ", ".join(f"{name} ({states[name]})" for name in failing)
        raise NotReady("not_ready", f"Not ready: {what}.", failing=failing, **states)
    return ReadinessRead(status="ready", **states)


@operator_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **problems(500, 503)},
)
def get_metrics(principal: PrincipalDep, database: WholeDatabaseDep) -> Response:
    """Metrics of this process, and of jobs, queues and workers, in Prometheus's text format.

    Needs a key of the default project.
    """
    principal.require_operator()
    with database.reading() as session:
        families = [*job_metrics(session), *queue_metrics(session), *worker_metrics(session)]

    class Tables(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from families

    from_tables = CollectorRegistry()
    from_tables.register(Tables())
    return Response(generate_latest(REGISTRY) + generate_latest(from_tables), media_type=CONTENT_TYPE_LATEST)
