"""What the tables tell about jobs, queues, workers and webhooks, as Prometheus's metrics."""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.core.db import DEFAULT_PROJECT, ReadSession
from app.core.db.job_queue import queue_states
from app.core.db.jobs import count_by_status
from app.core.db.webhooks import backlogs
from app.core.db.workers import live_workers
from app.domain.job_states import JobStatus
from app.readiness import Dependency, DependencyState


def job_metrics(session: ReadSession) -> Iterator[Metric]:
    counts = count_by_status(session)
    jobs = GaugeMetricFamily("squeeze_jobs", "Jobs by status.", labels=["project", "status"])
    for project in sorted({DEFAULT_PROJECT, *(project for project, _ in counts)}):
        of_project = {status: count for (owner, status), count in counts.items() if owner == project}
        for status in JobStatus:
            jobs.add_metric([project, status.value], of_project.pop(status.value, 0))
        jobs.add_metric([project, "unknown"], sum(of_project.values()))  # of a later version of the service
    yield jobs


def queue_metrics(session: ReadSession) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "squeeze_queue_jobs", "Jobs that wait for a worker, by queue.", labels=["queue"]
    )
    age = GaugeMetricFamily(
        "squeeze_queue_age_seconds",
        "How long the first job of a queue has waited for a worker.",
        labels=["queue"],
    )
    alive = GaugeMetricFamily(
        "squeeze_queue_workers", "Live workers that take jobs from a queue.", labels=["queue"]
    )
    states = queue_states(session)
    workers = Counter(queue for worker in live_workers(session) for queue in worker.queues)
    for queue in sorted(states.keys() | workers.keys()):
        state = states.get(queue)
        waiting.add_metric([queue], state.jobs if state else 0)
        age.add_metric([queue], state.oldest_s if state else 0)
        alive.add_metric([queue], workers[queue])
    yield from (waiting, age, alive)


def webhook_metrics(session: ReadSession) -> Iterator[Metric]:
    found = backlogs(session)
    projects = sorted({DEFAULT_PROJECT, *found})
    for index, (name, text) in enumerate(
        (
            ("pending_deliveries", "Deliveries of webhooks that are still to be sent, or sent again."),
            ("pending_age_seconds", "How long ago the event of the oldest pending delivery was."),
            ("overdue_seconds", "How long a pending delivery has been due without being sent."),
        )
    ):
        family = GaugeMetricFamily(f"squeeze_webhook_{name}", text, labels=["project"])
        for project in projects:
            family.add_metric([project], found[project][index] if project in found else 0)
        yield family


def dependency_metrics(states: Mapping[Dependency, DependencyState]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "squeeze_dependency_up",
        "Whether what this process depends on responds and has room, as in /readyz.",
        labels=["dependency"],
    )
    for name, state in states.items():
        if name != "workers":
            up.add_metric([name], state in ("ok", "none"))
    yield up


def worker_metrics(session: ReadSession) -> Iterator[Metric]:
    """Each worker counts for itself: a sum over them goes on when one ends."""
    workers = live_workers(session)
    yield GaugeMetricFamily("squeeze_workers", "Live workers.", value=len(workers))
    busy = sum(worker.job_id is not None for worker in workers)
    yield GaugeMetricFamily("squeeze_busy_workers", "Live workers that run a job.", value=busy)
    for name, text in (
        ("attempts", "Attempts at jobs that a worker began."),
        ("lease_losses", "Jobs of lost workers that a worker put back into the queue."),
    ):
        family = CounterMetricFamily(f"squeeze_worker_{name}", text, labels=["worker"])
        for worker in workers:
            family.add_metric([worker.name], worker.counts.get(name, 0))
        yield family
