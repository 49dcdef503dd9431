"""What streams of events cost: ``python -m benchmarks.streams --postgres postgresql+psycopg://…/empty``.

One API process, listeners on the streams of fifty jobs, and nothing happening; then an event of one job, and
how long it takes to reach the last of its listeners; then an event of every job each two seconds, as from
fifty workers. On SQLite without ``--postgres``.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from app.core.db import DEFAULT_PROJECT, Database
from app.core.db.jobs import Job, append_event, lock_job
from app.core.db.migrate import upgrade
from app.core.settings import Settings
from app.domain.documents.events import Message
from app.embedded import Service, free_port, running, settings_environment
from benchmarks.harness import Benchmark, Goal, Row, median, print_table

JOBS = 50
LISTENERS = (0, 500)
BUSY_INTERVAL_S = 2.0
DELIVERIES = 20


def _goals(database: str) -> list[Goal]:
    return [
        Goal(
            f"{database}: 500 idle listeners cost one process less than 0.2 of a core",
            partial(median, column="idle_cores", database=database, listeners=500),
            at_most=0.2,
        )
    ]


BENCH = Benchmark(
    "streams",
    keys=("database", "listeners", "round"),
    goals=[goal for database in ("sqlite", "postgresql") for goal in _goals(database)],
)


@dataclass
class Server:
    """An API process and its database."""

    port: int
    pid: int
    database: Database
    jobs: Sequence[str]

    def cpu_s(self) -> float:
        """Time on a core so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def write_event(self, job_id: str) -> None:
        with self.database.of(DEFAULT_PROJECT).transaction() as session:
            lock_job(session, job_id)
            append_event(session, job_id, Message(text="hello"))


@dataclass
class Listeners:
    """Clients that read streams."""

    heard: "asyncio.Queue[float]" = field(default_factory=asyncio.Queue)
    """When an event reached one of them, by the monotonic clock."""

    async def read(self, port: int, job_id: str, connected: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /v1/jobs/{job_id}/events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"retry: ")
        connected.release()
        try:
            while line := await reader.readline():
                if line.startswith(b"event: "):
                    self.heard.put_nowait(time.monotonic())
        finally:
            writer.close()


def measure(options: argparse.Namespace) -> None:
    urls = {"sqlite": None} | ({"postgresql": options.postgres} if options.postgres else {})
    for number in range(options.rounds):
        for database, url in urls.items():
            for listeners in LISTENERS:
                run = partial(_measure, url, listeners, options.seconds)
                BENCH.run((database, listeners, number), run)
    print_table(BENCH.rows)


def _measure(url: str | None, listeners: int, seconds: float) -> Row:
    with _server(url) as server:
        return asyncio.run(_listen(server, listeners, seconds))


async def _listen(server: Server, count: int, seconds: float) -> Row:
    async with connected(server, count) as listeners:
        idle = await _cores(server, seconds)
        delays = [await _deliver(server, listeners, count) for _ in range(DELIVERIES if count else 0)]
        writing = asyncio.create_task(_write(server))
        busy = await _cores(server, seconds)
        writing.cancel()
    return {
        "idle_cores": idle,
        "busy_cores": busy,
        "delivery_ms": statistics.median(delays) * 1e3 if delays else None,
        "slowest_delivery_ms": max(delays) * 1e3 if delays else None,
    }


@asynccontextmanager
async def connected(server: Server, count: int) -> AsyncIterator[Listeners]:
    listeners, connected = Listeners(), asyncio.Semaphore(0)
    jobs = [server.jobs[number % JOBS] for number in range(count)]
    tasks = [asyncio.create_task(listeners.read(server.port, job, connected)) for job in jobs]
    for _ in tasks:
        await connected.acquire()
    yield listeners
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _cores(server: Server, seconds: float) -> float:
    before, started = server.cpu_s(), time.monotonic()
    await asyncio.sleep(seconds)
    return (server.cpu_s() - before) / (time.monotonic() - started)


async def _deliver(server: Server, listeners: Listeners, count: int) -> float:
    """Seconds from an event's commit to the last of its job's listeners."""
    await asyncio.to_thread(server.write_event, server.jobs[0])
    written = time.monotonic()
    heard = [await listeners.heard.get() for _ in range(count // JOBS)]
    return max(heard) - written


async def _write(server: Server) -> None:
    while True:
        for job_id in server.jobs:
            await asyncio.to_thread(server.write_event, job_id)
            await asyncio.sleep(BUSY_INTERVAL_S / JOBS)


@contextmanager
def _server(url: str | None) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="squeeze-streams-") as folder:
        settings = Settings(
            data_dir=Path(folder), database_url=url, port=free_port(), loopback_without_key=True
        )
        upgrade(settings.resolved_database_url)
        database = Database(settings.resolved_database_url)
        with database.of(DEFAULT_PROJECT).transaction() as session:
            jobs = [Job(spec={}, dataset_id="dst_any", method="scratch") for _ in range(JOBS)]
            session.add_all(jobs)
            session.flush()
            ids = [job.id for job in jobs]
        command = [sys.executable, "-P", "-m", "app.cli", "api"]
        environment = settings_environment(settings)
        with running(command, environment=environment, log=Path(folder) / "api.log") as process:
            Service(f"http://127.0.0.1:{settings.port}", {"API": process}).wait_until_ready()
            yield Server(settings.port, process.pid, database, ids)
        database.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", help="SQLAlchemy URL of a database that may be written to")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of one measurement")
    return BENCH.main(measure, parser, selects=["postgres"])


if __name__ == "__main__":
    sys.exit(main())
