"""What a worker process works with."""

import threading
from dataclasses import dataclass, field

from app.core.db import Database
from app.core.queue import Queue
from app.core.settings import Settings
from app.core.storage import Storage
from worker.runner.launch import Command, Launcher
from worker.runner.shutdown import Shutdown


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
    slot: threading.Lock = field(default_factory=threading.Lock)
    """Held while a job runs: this process runs one at a time, however it was announced."""
