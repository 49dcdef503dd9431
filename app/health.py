"""Is the process alive, can it work, and what has it done."""

import logging
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import text

from app.core.db.jobs import count_by_status
from app.dependencies import DatabaseDep, QueueDep, StorageDep
from app.domain.errors import Unavailable
from app.domain.job_states import JobStatus
from app.errors import problems

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def get_health() -> dict[str, str]:
    """Liveness: the process responds, even if all threads of its pool are busy."""
    return {"status": "ok"}


@router.get("/readyz", responses=problems(503))
def get_readiness(database: DatabaseDep, queue: QueueDep, storage: StorageDep) -> dict[str, str]:
    """Readiness: database, broker and object store respond; otherwise 503, naming those that do not."""

    def ask_database() -> None:
        with database.reading() as session:
            session.execute(text("select 1"))

    failing = []
    for name, ask in (("database", ask_database), ("broker", queue.check), ("store", storage.check)):
        try:
            ask()
        except Exception:
            logger.warning("%s does not respond", name, exc_info=True)
            failing.append(name)
    if failing:
        raise Unavailable("not_ready", f"Not responding: {', '.join(failing)}.", failing=failing)
    return {"status": "ready", "database": "ok", "broker": "ok", "store": "ok"}


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
