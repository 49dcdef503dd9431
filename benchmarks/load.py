"""What a long queue costs those who poll: ``python -m benchmarks.load --minutes 10``.

Two APIs on one PostgreSQL of the benchmark's own, one with 10,000 queued jobs, one with only the fifty
that are listened to. They are measured in turns: 200 clients poll jobs while one creates jobs, one reads the
lists and 500 listen. With ``--minutes`` the one with the long queue then goes on for so long, and its memory
is noted each minute.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import uvloop
from sqlalchemy import create_engine, delete, select, text

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.jobs import Job, append_event
from app.core.db.migrate import upgrade
from app.core.settings import Settings
from app.domain.documents.events import StatusChange
from app.domain.job_states import JobStatus
from app.embedded import Service, free_port, running, settings_environment
from benchmarks.chaos.workload import dataset_files, teacher_archive
from benchmarks.closed_loop import Load, get, post, send_all
from benchmarks.harness import Benchmark, Goal, Row, median, numbers, print_table, ratio
from benchmarks.processes import resident_mib
from benchmarks.servers import own_postgres
from benchmarks.streams import JOBS, Server, connected

QUEUED = 10_000
POLLING = 200
LISTENING = 500
EMPTY, LONG, LASTING = "empty", "10,000 queued", "minute by minute"
LISTS = ("/v1/jobs", "/v1/jobs?status=queued", "/v1/jobs?limit=100", "/v1/models", "/v1/datasets")
_HOST = "127.0.0.1"
_WARM_UP_S = 1.0
_SETTLED = 2
"""Minutes after which the API has all that it keeps in memory."""


def _against_empty(column: str, rows: Sequence[Row]) -> float | None:
    return ratio(median(rows, column, queue=LONG), median(rows, column, queue=EMPTY))


def _growth(rows: Sequence[Row]) -> float | None:
    """Memory in the second half beside the first one, once it has settled."""
    memory = numbers(rows, "memory_mib", queue=LASTING)[_SETTLED:]
    if len(memory) < 2:
        return None
    half = len(memory) // 2
    return max(memory[-half:]) / max(memory[:-half])


BENCH = Benchmark(
    "load",
    keys=("queue", "round"),
    goals=[
        *(
            Goal(
                f"p99 of {what} with {LONG} jobs, relative to an empty table",
                partial(_against_empty, column),
                at_most=1.5,
            )
            for what, column in (
                ("GET /v1/jobs/{id}", "poll_p99_ms"),
                ("POST /v1/jobs", "create_p99_ms"),
                ("lists", "list_p99_ms"),
            )
        ),
        Goal("memory of the API in the last minutes, relative to those before", _growth, at_most=1.03),
    ],
)


@dataclass
class Api(Server):
    """An API process with a database of its own, and what a job may be asked for with."""

    body: bytes

    def memory_mib(self) -> float:
        """Resident."""
        return resident_mib(self.pid)

    def remove_created(self) -> None:
        """Leave the queue as it was before a measurement."""
        with self.database.transaction() as session:
            session.execute(delete(Job).where(Job.id > max(self.jobs)))


def measure(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        generator = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        postgres = stack.enter_context(own_postgres("listen_addresses=", "max_connections=200"))
        apis = {
            name: stack.enter_context(_api(str(postgres.log.parent), f"queue_{count}", count))
            for name, count in ((EMPTY, JOBS), (LONG, QUEUED))
        }
        for number in range(options.rounds):
            for name, api in apis.items():
                BENCH.run((name, number), partial(_session, generator, api, options.seconds))
        for minute in range(options.minutes):
            BENCH.run((LASTING, minute), partial(_session, generator, apis[LONG], 60))
    print_table(BENCH.rows)


def _session(generator: ProcessPoolExecutor, api: Api, seconds: float) -> Row:
    return asyncio.run(_listened_to(generator, api, seconds))


async def _listened_to(generator: ProcessPoolExecutor, api: Api, seconds: float) -> Row:
    async with connected(api, LISTENING):
        loop = asyncio.get_running_loop()
        jobs = [api.jobs[number * len(api.jobs) // POLLING % len(api.jobs)] for number in range(POLLING)]
        loads = await loop.run_in_executor(generator, _send, api.port, jobs, api.body, seconds)
    api.remove_created()
    polls, creations, lists = loads
    return {
        "polls_per_s": polls.rate,
        "poll_p99_ms": polls.quantile_ms(0.99),
        "creations_per_s": creations.rate,
        "create_p99_ms": creations.quantile_ms(0.99),
        "lists_per_s": lists.rate,
        "list_p99_ms": lists.quantile_ms(0.99),
        "memory_mib": api.memory_mib(),
    }


def _send(port: int, jobs: Sequence[str], body: bytes, seconds: float) -> Sequence[Load]:
    """In a process of its own, so that listening does not slow it down."""
    return uvloop.run(_send_side_by_side(port, jobs, body, seconds))


async def _send_side_by_side(port: int, jobs: Sequence[str], body: bytes, seconds: float) -> Sequence[Load]:
    send = partial(send_all, _HOST, port, seconds=seconds, warm_up_s=_WARM_UP_S)
    return await asyncio.gather(
        send([get(_HOST, f"/v1/jobs/{job}") for job in jobs], clients=POLLING),
        send([post(_HOST, "/v1/jobs", body)], clients=1),
        send([get(_HOST, path) for path in LISTS], clients=1),
    )


@contextmanager
def _api(postgres: str, name: str, queued: int) -> Iterator[Api]:
    """An API on a new database with so many queued jobs."""
    url = f"postgresql+psycopg://postgres@/{name}?host={postgres}"
    engine = create_engine(
        f"postgresql+psycopg://postgres@/postgres?host={postgres}", isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    engine.dispose()
    upgrade(url)
    with tempfile.TemporaryDirectory(prefix="squeeze-load-") as folder:
        settings = Settings(
            data_dir=Path(folder), database_url=url, port=free_port(), loopback_without_key=True
        )
        command = [sys.executable, "-P", "-m", "app.cli", "api"]
        log = Path(folder) / "api.log"
        with running(command, environment=settings_environment(settings), log=log) as process:
            service = Service(f"http://{_HOST}:{settings.port}", {"API": process})
            service.wait_until_ready()
            body = _request_body(service.url)
            first = _post(service.url, "/v1/jobs", content=body, headers={"content-type": "application/json"})
            database = Database(url)
            jobs = _fill_queue(database, first["id"], queued)
            yield Api(settings.port, process.pid, database, jobs, body)
            database.dispose()


def _request_body(url: str) -> bytes:
    """Of a request for a job, on a model and data uploaded for it."""
    teacher = _post(
        url, "/v1/models", data={"name": "teacher"}, files={"file": ("model.zip", teacher_archive())}
    )
    data = {"name": "data", "task": "text_classification"}
    dataset = _post(url, "/v1/datasets", data=data, files=dataset_files())
    return json.dumps(
        {"teacher": teacher["id"], "dataset": dataset["id"], "method": {"name": "fine_tuning"}}
    ).encode()


def _post(url: str, path: str, **content: Any) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(f"{url}{path}", timeout=60, **content).raise_for_status().json()
    return answer


def _fill_queue(database: Database, first: str, count: int) -> list[str]:
    """Ids of so many queued jobs, all like the first."""
    with database.of(DEFAULT_PROJECT).transaction() as session:
        like = session.scalars(select(Job).where(Job.id == first)).one()
        for _ in range(count - 1):
            job = Job(
                spec=like.spec,
                plan=like.plan,
                inputs=dict(like.inputs),
                dataset_id=like.dataset_id,
                method=like.method,
            )
            session.add(job)
            session.flush()
            append_event(session, job.id, StatusChange(status=JobStatus.QUEUED, attempt=0))
        jobs = list(session.scalars(select(Job.id).order_by(Job.id)))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
    return jobs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each queue, in turns")
    parser.add_argument("--seconds", type=float, default=15, help="of one measurement")
    parser.add_argument("--minutes", type=int, default=0, help="that the API with the long queue goes on")
    return BENCH.main(measure, parser, selects=["minutes"])


if __name__ == "__main__":
    sys.exit(main())
