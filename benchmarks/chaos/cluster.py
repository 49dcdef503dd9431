"""The service as in production, in processes of its own.

PostgreSQL, a broker, an S3-compatible store, the API, and workers that share nothing but these. What is
between two machines goes through a relay: each worker's way to the database, and everybody's to the store.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from app.core.db import Database
from app.core.db.migrate import upgrade
from app.core.settings import Settings
from app.core.storage import Storage
from app.embedded import free_port, settings_environment
from benchmarks.chaos import clock
from benchmarks.chaos.relay import Relay
from benchmarks.harness import say
from benchmarks.processes import children, command_of
from benchmarks.servers import BUCKET, Server, own_postgres, own_redis, s3_server

CLOCKS_S = (0, 40)
"""How far ahead the clock of each worker's machine is."""
LEASE_S = 8.0
LOGS = Path(__file__).parent.parent / "work" / "chaos"
"""What the processes of the last run had to say."""
_HOST_BYTES = 256 * 2**20
_QUICK: dict[str, Any] = {
    "lease": timedelta(seconds=LEASE_S),
    "heartbeat": timedelta(seconds=0.5),
    "sweep_interval": timedelta(seconds=1),
    "cleanup_interval": timedelta(seconds=5),
    "keep_orphans": timedelta(seconds=30),
    "keep_work": timedelta(seconds=30),
    "retry_delay": timedelta(seconds=0.5),
    "max_retry_delay": timedelta(seconds=10),
    "checkpoint_interval": timedelta(seconds=1),
    "min_free_bytes": 32 * 2**20,
}
"""Everything that is waited for is short; how often a job is tried is left as it is."""
_STORE_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
}


@dataclass
class Host:
    """A machine with a worker: a folder that can be full, a way to the database, a clock of its own."""

    name: str
    folder: Path
    relay: Relay
    has_own_disk: bool
    """Else the folder is a part of a disk that must not be filled."""
    clock: Mapping[str, str]
    worker: Server
    starts: int = 0

    @property
    def work_dir(self) -> Path:
        return self.folder / "data" / "work"

    def jobs(self) -> list[int]:
        """The processes of jobs, whichever way they were started."""
        found = []
        for child in children(self.worker.pid):
            found += children(child) if "fork_server" in command_of(child) else [child]
        return found


@dataclass
class Cluster:
    """All parts of a running service, and how to start those that have ended."""

    folder: Path
    postgres: Server
    postgres_port: int
    broker: Server
    broker_port: int
    store: Server
    store_relay: Relay
    api: Server
    settings: Settings
    """Of the API."""
    hosts: Sequence[Host]
    worker_names: dict[str, str] = field(default_factory=dict)
    """Of each worker that was started, by its name on connections to the database."""
    exits: Counter[str] = field(default_factory=Counter)
    """Processes that ended though nobody had ended them."""

    @property
    def impossible(self) -> list[str]:
        """What cannot be done to it on this machine."""
        full = [f"{host.name} has no disk of its own" for host in self.hosts if not host.has_own_disk]
        right = (
            [] if any(host.clock for host in self.hosts) else ["no clock can be wrong without a C compiler"]
        )
        return full + right

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def start_worker(self, host: Host) -> None:
        """A new process in the place of one that has ended."""
        host.starts += 1
        application = f"{host.name}-{host.starts}"
        database_url = _database_url(host.relay.port, application)
        changes = {"data_dir": host.folder / "data", "database_url": database_url}
        settings = self.settings.model_copy(update=changes)
        host.worker.options["env"] = _environment(settings, host.folder) | dict(host.clock)
        host.worker.start()
        self.worker_names[application] = f"{socket.gethostname()}-{host.worker.pid}"

    def revive(self) -> None:
        """Start again what has ended, as an operator's supervisor would, and count what nobody had ended."""
        for host in self.hosts:
            if not host.worker.is_running:
                self.exits[host.name] += 1
                say(f"{host.name} ended by itself with {host.worker.process.returncode}")
                self.start_worker(host)
        if not self.api.is_running:
            self.exits["API"] += 1
            say(f"the API ended by itself with {self.api.process.returncode}")
            self.api.start()

    @contextmanager
    def database(self) -> Iterator[Database]:
        """For looking into it, not by way of a relay."""
        database = Database(_database_url(self.postgres_port, "checks"))
        yield database
        database.dispose()

    def storage(self) -> Storage:
        os.environ.update(_STORE_CREDENTIALS)
        return Storage.from_url(self.settings.resolved_storage_url, s3_endpoint=self.settings.s3_endpoint)

    def stop(self) -> None:
        """The API and the workers, as an operator would."""
        for part in (self.api, *(host.worker for host in self.hosts)):
            part.stop(signal.SIGTERM, timeout_s=60)

    def leftover_processes(self) -> list[int]:
        """Of the API and the workers, all that they have started included."""
        mark = f"TMPDIR={self.folder}/".encode()
        return [pid for pid in _all_pids() if mark in _environment_of(pid)]


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Everything, for the length of the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squeeze-chaos-")))
        shutil.rmtree(LOGS, ignore_errors=True)
        LOGS.mkdir(parents=True)
        ports = [free_port() for _ in range(4)]
        postgres_port, broker_port, store_port, api_port = ports
        # A process that is killed loses nothing without fsync, the machine goes on.
        postgres = stack.enter_context(
            own_postgres("listen_addresses=127.0.0.1", f"port={postgres_port}", "fsync=off")
        )
        database_url = _database_url(postgres_port, "api")
        upgrade(database_url)
        broker = stack.enter_context(own_redis(broker_port))
        store = stack.enter_context(s3_server(LOGS, port=store_port))
        store_relay = stack.enter_context(Relay(store_port))
        settings = Settings(
            data_dir=folder / "api" / "data",
            database_url=database_url,
            broker_url=f"redis://127.0.0.1:{broker_port}/0",
            storage_url=f"s3://{BUCKET}/files",
            s3_endpoint=f"http://127.0.0.1:{store_relay.port}",
            port=api_port,
            loopback_without_key=True,
            **_QUICK,
        )
        library = clock.build(folder)
        api = Server(
            [sys.executable, "-P", "-m", "app.cli", "api"],
            log=LOGS / "api.log",
            is_ready=lambda: httpx.get(f"http://127.0.0.1:{api_port}/healthz", timeout=5),
            env=_environment(settings, folder / "api"),
        )
        hosts = [
            stack.enter_context(_host(folder, number, offset_s, postgres_port, library))
            for number, offset_s in enumerate(CLOCKS_S, start=1)
        ]
        cluster = Cluster(
            folder, postgres, postgres_port, broker, broker_port, store, store_relay, api, settings, hosts
        )
        stack.callback(cluster.stop)
        api.start()
        for host in hosts:
            cluster.start_worker(host)
        yield cluster


@contextmanager
def _host(
    root: Path, number: int, clock_offset_s: int, postgres_port: int, library: Path | None
) -> Iterator[Host]:
    name = f"worker-{number}"
    folder = root / name
    worker = Server([sys.executable, "-P", "-m", "worker.runner.main"], log=LOGS / f"{name}.log")
    wrong_clock = {} if library is None or not clock_offset_s else clock.environment(library, clock_offset_s)
    with _disk(folder) as is_own, Relay(postgres_port) as relay:
        yield Host(name, folder, relay, is_own, wrong_clock, worker)


@contextmanager
def _disk(folder: Path) -> Iterator[bool]:
    """A folder; whether it is a small disk of its own, which takes the right to mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_HOST_BYTES}", "tmpfs", str(folder)]
    is_own = False
    with suppress(FileNotFoundError):
        is_own = subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield is_own
    finally:
        if is_own:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _database_url(port: int, application: str) -> str:
    return f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres?application_name={application}"


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    """Of a process whose temporary files are in the folder, by which it is found again."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return settings_environment(settings) | _STORE_CREDENTIALS | threads | {"TMPDIR": str(temporary)}


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _environment_of(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""
