"""What goes wrong, one function a fault. Each ends with the part working again."""

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from benchmarks.chaos.cluster import LEASE_S, Cluster, Host
from benchmarks.processes import children, descendants, frozen, happens, send

_FOR_A_JOB_S = 30
_LONGER_THAN_A_LEASE_S = 1.5 * LEASE_S
_BROKER_FROZEN_S = 10
_POSTGRES_FROZEN_S = 30
_STORE_FROZEN_S = 15
_STORE_AWAY_S = 60
_DISK_FULL_S = 10


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, how, and how often beside others."""

    name: str
    means: str
    inject: Callable[[Cluster, Random], None]
    share: int = 1


def schedule(count: int, draw: Random, faults: Sequence[Fault]) -> list[Fault]:
    """Faults in random order, in rounds: each as often as its share in every round."""
    drawn: list[Fault] = []
    while len(drawn) < count:
        cycle = [fault for fault in faults for _ in range(fault.share)]
        draw.shuffle(cycle)
        drawn += cycle
    return drawn[:count]


def _busy_host(cluster: Cluster, draw: Random) -> Host:
    """One that runs a job, soon if not now."""
    hosts = list(cluster.hosts)
    draw.shuffle(hosts)
    happens(lambda: any(host.jobs() for host in hosts), within_s=_FOR_A_JOB_S)
    return next((host for host in hosts if host.jobs()), hosts[0])


def _soon(draw: Random) -> None:
    time.sleep(draw.uniform(0, 2))


def _kill_worker(cluster: Cluster, draw: Random) -> None:
    host = _busy_host(cluster, draw)
    host.worker.stop(signal.SIGKILL)
    _soon(draw)
    cluster.start_worker(host)


def _stop_worker(cluster: Cluster, draw: Random) -> None:
    host = _busy_host(cluster, draw)
    host.worker.stop(signal.SIGTERM, timeout_s=30)
    cluster.start_worker(host)


def _kill_child(cluster: Cluster, draw: Random) -> None:
    send(signal.SIGKILL, _busy_host(cluster, draw).jobs())


def _kill_fork_server(cluster: Cluster, draw: Random) -> None:
    send(signal.SIGKILL, children(_busy_host(cluster, draw).worker.pid))


def _kill_api(cluster: Cluster, draw: Random) -> None:
    cluster.api.stop(signal.SIGKILL)
    _soon(draw)
    cluster.api.start()


def _freeze_worker(cluster: Cluster, draw: Random) -> None:
    host = _busy_host(cluster, draw)
    send(signal.SIGSTOP, [host.worker.pid])
    time.sleep(_LONGER_THAN_A_LEASE_S)
    send(signal.SIGCONT, [host.worker.pid])


def _freeze_host(cluster: Cluster, draw: Random) -> None:
    with frozen(_busy_host(cluster, draw).worker.pid):
        time.sleep(_LONGER_THAN_A_LEASE_S)


def _freeze_child(cluster: Cluster, draw: Random) -> None:
    jobs = [each for job in _busy_host(cluster, draw).jobs() for each in (job, *descendants(job))]
    send(signal.SIGSTOP, jobs)
    time.sleep(_LONGER_THAN_A_LEASE_S)
    send(signal.SIGCONT, jobs)


def _empty_broker(cluster: Cluster, draw: Random) -> None:
    cluster.broker.stop(signal.SIGKILL)
    _soon(draw)
    cluster.broker.start()


def _freeze_broker(cluster: Cluster, _: Random) -> None:
    with frozen(cluster.broker.pid):
        time.sleep(_BROKER_FROZEN_S)


def _restart_postgres(cluster: Cluster, draw: Random) -> None:
    cluster.postgres.stop(signal.SIGINT)
    _soon(draw)
    cluster.postgres.start()


def _crash_postgres(cluster: Cluster, draw: Random) -> None:
    cluster.postgres.stop(signal.SIGQUIT)
    _soon(draw)
    cluster.postgres.start()


def _freeze_postgres(cluster: Cluster, _: Random) -> None:
    with frozen(cluster.postgres.pid):
        time.sleep(_POSTGRES_FROZEN_S)


def _cut_off_database(cluster: Cluster, draw: Random) -> None:
    relay = _busy_host(cluster, draw).relay
    relay.cut()
    time.sleep(_LONGER_THAN_A_LEASE_S)
    relay.restore()


def _reset_connections(cluster: Cluster, draw: Random) -> None:
    relay = _busy_host(cluster, draw).relay
    relay.refuse()
    _soon(draw)
    relay.accept()


def _take_store_away(cluster: Cluster, _: Random) -> None:
    cluster.store_relay.refuse()
    time.sleep(_STORE_AWAY_S)
    cluster.store_relay.accept()


def _freeze_store(cluster: Cluster, _: Random) -> None:
    with frozen(cluster.store.pid):
        time.sleep(_STORE_FROZEN_S)


def _delete_work(cluster: Cluster, draw: Random) -> None:
    shutil.rmtree(_busy_host(cluster, draw).work_dir, ignore_errors=True)


def _fill_disk(cluster: Cluster, draw: Random) -> None:
    host = _busy_host(cluster, draw)
    ballast = host.folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):  # until nothing more goes in
        while True:
            file.write(bytes(2**16))
    time.sleep(_DISK_FULL_S)
    ballast.unlink()


KILLS = (
    Fault("worker killed", "SIGKILL of a worker, started again within 2 s", _kill_worker, share=3),
    Fault("child killed", "SIGKILL of the process of a running job", _kill_child, share=2),
    Fault("fork server killed", "SIGKILL of the process that forks those of jobs", _kill_fork_server),
    Fault("API killed", "SIGKILL of the API, started again within 2 s", _kill_api, share=3),
)
OUTAGES = (
    Fault("worker stopped", "SIGTERM of a worker, which hands its job back", _stop_worker),
    Fault("worker frozen", f"SIGSTOP of a worker alone for {_LONGER_THAN_A_LEASE_S:g} s", _freeze_worker),
    Fault("host frozen", f"SIGSTOP of a worker and its jobs for {_LONGER_THAN_A_LEASE_S:g} s", _freeze_host),
    Fault("child frozen", f"SIGSTOP of a job's process for {_LONGER_THAN_A_LEASE_S:g} s", _freeze_child),
    Fault("broker emptied", "SIGKILL of Valkey, started again empty", _empty_broker),
    Fault("broker frozen", f"SIGSTOP of Valkey for {_BROKER_FROZEN_S} s", _freeze_broker),
    Fault("PostgreSQL restarted", "fast shutdown (SIGINT) and start", _restart_postgres),
    Fault("PostgreSQL crashed", "immediate shutdown (SIGQUIT) and start", _crash_postgres),
    Fault(
        "PostgreSQL frozen",
        f"SIGSTOP of the server and its backends for {_POSTGRES_FROZEN_S} s",
        _freeze_postgres,
    ),
    Fault(
        "database cut off",
        f"a worker's relay passes nothing on for {_LONGER_THAN_A_LEASE_S:g} s",
        _cut_off_database,
    ),
    Fault(
        "connections reset",
        "a worker's relay ends its connections, refuses for 2 s at most",
        _reset_connections,
    ),
    Fault("store away", f"the store's relay refuses connections for {_STORE_AWAY_S} s", _take_store_away),
    Fault("store frozen", f"SIGSTOP of the S3 server for {_STORE_FROZEN_S} s", _freeze_store),
    Fault("work folder deleted", "rm -r of a worker's work folder", _delete_work),
)
FULL_DISK = Fault("disk full", f"a worker's tmpfs filled to the last block for {_DISK_FULL_S} s", _fill_disk)


def possible_faults(cluster: Cluster) -> list[Fault]:
    """Those that this machine permits."""
    full_disk = [FULL_DISK] if all(host.has_own_disk for host in cluster.hosts) else []
    return [*KILLS, *OUTAGES, *full_disk]
