"""What a worker process works with."""

import os
import socket
import threading
from collections import Counter, deque
from dataclasses import dataclass, field

from app.core.db import Database, Limits
from app.core.ids import new_id
from app.core.outages import Outages
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from worker.runner.launch import Command, Launcher
from worker.runner.shutdown import Shutdown

ATTEMPTS = "attempts"
LEASE_LOSSES = "lease_losses"
_MOST_LEFT = 1000


@dataclass
class Activity:
    """What a worker is doing and has done."""

    job_id: str | None = None
    left: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LEFT))
    """Jobs that it left to workers of a later version."""
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Worker:
    """The name of a worker, its settings, and the services it uses."""

    name: str
    settings: Settings
    database: Database
    storage: Storage
    queue: Queue
    shutdown: Shutdown
    launch: Launcher = field(default_factory=Command)
    id: str = field(default_factory=lambda: new_id("wrk"))
    host: str = field(default_factory=socket.gethostname)
    activity: Activity = field(default_factory=Activity)
    outages: Outages = field(default_factory=Outages)
    slot: threading.Lock = field(default_factory=threading.Lock)
    """Held while a job runs: this process runs one at a time, however it was announced."""


def create_worker(settings: Settings, shutdown: Shutdown) -> Worker:
    return Worker(
        name=f"{socket.gethostname()}-{os.getpid()}",
        settings=settings,
        database=Database(settings.resolved_database_url, limits=Limits.within(settings.database_timeout)),
        storage=Storage.from_url(
            settings.resolved_storage_url, s3_endpoint=settings.s3_endpoint, timeout=settings.storage_timeout
        ),
        queue=Queue(settings.broker_url),
        shutdown=shutdown,
    )
