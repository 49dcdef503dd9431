"""What a worker process works with."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.db import Database
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from worker.runner.shutdown import Shutdown
from worker.runner.supervisor import PIPELINE


@dataclass(frozen=True)
class Worker:
    """The name of a worker, its settings, and the services it uses."""

    name: str
    settings: Settings
    database: Database
    storage: Storage
    queue: Queue
    shutdown: Shutdown
    command: Sequence[str] = PIPELINE
    slot: threading.Lock = field(default_factory=threading.Lock)
    """Held while a job runs: this process runs one at a time, however it was announced."""
