"""The means by which faults are injected do what they say."""

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random

import pytest

from app.core.db import Database
from app.core.db.job_queue import claim_job
from app.core.db.jobs import Job, append_event, lock_job
from app.domain.documents.events import Message
from benchmarks.chaos import audit, clock
from benchmarks.chaos.faults import KILLS, OUTAGES, schedule
from benchmarks.chaos.relay import Relay
from tests.conftest import empty_tables

LEASE = timedelta(seconds=30)


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(5)
        yield client


def test_a_relay_passes_on_holds_back_and_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Relay(server.getsockname()[1]) as relay:
        with connection(relay.port) as client, server.accept()[0] as far:
            far.settimeout(5)
            client.sendall(b"hello")
            assert far.recv(5) == b"hello"
            relay.cut()
            client.sendall(b"held")
            far.settimeout(0.1)
            with pytest.raises(TimeoutError):
                far.recv(4)
            far.settimeout(5)
            relay.restore()
            assert far.recv(4) == b"held"
            relay.refuse()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", relay.port))
        relay.accept()
        with connection(relay.port) as client, server.accept()[0] as far:
            far.sendall(b"again")
            assert client.recv(5) == b"again"


def test_a_seed_decides_the_order_of_faults() -> None:
    faults = [*KILLS, *OUTAGES]
    in_a_round = sum(fault.share for fault in faults)
    drawn = [fault.name for fault in schedule(2 * in_a_round, Random(3), faults)]
    assert drawn == [fault.name for fault in schedule(2 * in_a_round, Random(3), faults)]
    assert drawn != [fault.name for fault in schedule(2 * in_a_round, Random(4), faults)]
    assert Counter(drawn) == {fault.name: 2 * fault.share for fault in faults}


def test_a_process_has_a_clock_of_its_own(tmp_path) -> None:
    library = clock.build(tmp_path)
    if library is None:  # no compiler: the benchmark says that it leaves this out
        return
    script = "import time; print(time.time(), time.monotonic())"
    before = time.time(), time.monotonic()
    output = subprocess.check_output(
        [sys.executable, "-S", "-c", script], env=os.environ | dict(clock.environment(library, 3600))
    )
    after = time.time(), time.monotonic()
    wall, monotonic = map(float, output.split())
    assert before[0] + 3600 <= wall <= after[0] + 3600
    assert before[1] <= monotonic <= after[1]


def test_who_writes_without_holding_the_job_is_noticed(postgres_url) -> None:
    database = Database(f"{postgres_url}&application_name=first")
    empty_tables(database)
    with database.transaction() as session:
        job = Job(spec={}, dataset_id="dst_any", method="scratch")
        session.add(job)
    audit.begin(database)
    other = Database(f"{postgres_url}&application_name=second")
    with database.transaction() as session:
        claim_job(session, job.id, owner="host-1", lease=LEASE)
    for connected in (database, other):
        with connected.transaction() as session:
            lock_job(session, job.id).progress = {"step": connected is database}
            append_event(session, job.id, Message(text="hello"))
    names = {"first": "host-1", "second": "host-2"}
    assert audit.count_writes(database) == 4
    stale = audit.stale_writes(database, names)
    assert sorted(line.partition(": ")[2] for line in stale) == [
        f"second wrote a {subject} of {job.id}, which host-1 held" for subject in ("event", "progress")
    ]
    for each in (database, other):
        each.dispose()
