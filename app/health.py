"""Is the process alive, can it work, and what has it done."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.auth.routes import ProtectedRoute, PublicRoute
from app.core.db import Database
from app.dependencies import PrincipalDep, WholeDatabaseDep
from app.errors import problems
from app.metrics import dependency_metrics, job_metrics, queue_metrics, webhook_metrics, worker_metrics
from app.process_metrics import ProcessMetrics
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
    states = await readiness.require(without=exclude)
    return ReadinessRead(status="ready", **states)


@operator_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **problems(500, 503)},
)
async def get_metrics(request: Request, principal: PrincipalDep, database: WholeDatabaseDep) -> Response:
    """Metrics of this process, and of jobs, queues, workers and webhooks, in Prometheus's text format.

    Where several processes share a port, those of all are there, with the label `process`. Needs a key of
    the default project.
    """
    principal.require_operator()
    families = await run_in_threadpool(_table_metrics, database)
    readiness: Readiness = request.app.state.readiness
    families += dependency_metrics(await readiness.states())

    class Found(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from families

    found = CollectorRegistry()
    found.register(Found())
    metrics: ProcessMetrics = request.app.state.metrics
    return Response(await metrics.text() + generate_latest(found), media_type=CONTENT_TYPE_LATEST)


def _table_metrics(database: Database) -> list[Metric]:
    with database.reading() as session:
        return [
            *job_metrics(session),
            *queue_metrics(session),
            *worker_metrics(session),
            *webhook_metrics(session),
        ]
