"""Is the process alive, can it work, and what has it done."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.core.db.jobs import count_by_status
from app.dependencies import DatabaseDep
from app.domain.errors import Unavailable
from app.domain.job_states import JobStatus
from app.errors import problems
from app.readiness import Dependency, Readiness, ReadinessRead

router = APIRouter(tags=["health"])


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
    failing = [name for name, state in states.items() if state not in ("ok", "none") and name not in exclude]
    if failing:
        what = ", ".join(f"{name} ({states[name]})" for name in failing)
        raise Unavailable("not_ready", f"Not ready: {what}.", failing=failing, **states)
    return ReadinessRead(status="ready", **states)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **problems(500, 503)},
)
def get_metrics(database: DatabaseDep) -> Response:
    """Metrics of this process and the number of jobs by status, in Prometheus's text format."""
    with database.reading() as session:
        counted = count_by_status(session)

    class Jobs(Collector):
        def collect(self) -> Iterator[Any]:
            counts = dict(counted)
            gauge = GaugeMetricFamily("squeeze_jobs", "Jobs by status.", labels=["status"])
            for status in JobStatus:
                gauge.add_metric([status.value], counts.pop(status.value, 0))
            gauge.add_metric(["unknown"], sum(counts.values()))  # of a later version of the service
            yield gauge

    from_table = CollectorRegistry()
    from_table.register(Jobs())
    return Response(generate_latest(REGISTRY) + generate_latest(from_table), media_type=CONTENT_TYPE_LATEST)
