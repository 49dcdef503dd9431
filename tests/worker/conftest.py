"""A worker on real databases whose child is whatever program a test gives it."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.db import Database
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from worker.runner.launch import Command, ForkServer
from worker.runner.shutdown import Shutdown
from worker.runner.worker import Worker

MakeWorker = Callable[..., Worker]


@pytest.fixture
def make_worker(database: Database, tmp_path: Path) -> MakeWorker:
    """Workers on the same database and files, each with a shutdown flag of its own."""

    def make(command: Sequence[str], **settings: Any) -> Worker:
        quick = {"lease": timedelta(seconds=2), "heartbeat": timedelta(milliseconds=100)}
        quick |= {"cancel_grace": timedelta(seconds=1), "shutdown_grace": timedelta(seconds=2)}
        quick["retry_delay"] = timedelta(0)
        chosen = Settings(data_dir=tmp_path, **(quick | settings))
        return Worker(
            name="tests",
            settings=chosen,
            database=database,
            storage=Storage.from_url(chosen.resolved_storage_url),
            queue=Queue(chosen.broker_url),
            shutdown=Shutdown(),
            launch=Command(command),
        )

    return make


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Starts the real process of an attempt at once."""
    with closing(ForkServer(fallback=Command([sys.executable, "-c", "raise SystemExit(3)"]))) as server:
        wait_until_ready(server)
        yield server


def wait_until_ready(server: ForkServer) -> int:
    """The id of its process."""
    server.start()
    never, other = os.pipe()
    with os.fdopen(never) as file, os.fdopen(other, "w"):
        server.wait_until_ready(unless=file)
    assert server.pid is not None
    return server.pid
