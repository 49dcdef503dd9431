"""Jobs under faults: ``python -m benchmarks.chaos --jobs 20 --kills 40``.

PostgreSQL, Valkey, an S3-compatible store, the API and two workers on separate data folders, one with a clock
40 s ahead, run in processes of their own. A job of each kind runs undisturbed first. Then a client goes on
submitting jobs while faults are injected, one after the other, in an order that ``--seed`` decides. When all
jobs have ended, it is counted what was lost, done twice, damaged or left behind.
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

from app.core.db import Database
from benchmarks.chaos import audit, checks
from benchmarks.chaos.client import Client, Json, Submitted, Submitting, prepare_teacher, run_undisturbed
from benchmarks.chaos.cluster import CLOCKS_S, LEASE_S, Cluster, running_cluster
from benchmarks.chaos.faults import possible_faults, schedule
from benchmarks.harness import Benchmark, Goal, Row, numbers, print_table, say
from benchmarks.processes import happens

_WAITING = 4
"""Jobs that wait or run at a time: both workers always have something to do."""
_LONGEST_PAUSE_S = 4.0
_SHOWN = 5

GOALS = {
    "lost": "accepted jobs that did not end",
    "failed": "jobs that failed, for the platform's reasons",
    "created_twice": "students, jobs or data sets that were created twice, or not at all",
    "stale_writes": "writes about a job by a worker that did not hold it",
    "impossible_histories": "jobs with a history that cannot be",
    "different_results": "students that differ from those of an undisturbed run, in any bit",
    "damaged_files": "files of students that are missing or damaged",
    "orphans": "objects, work folders, rows, messages and transactions left behind",
    "orphan_processes": "processes left behind",
    "unplanned_exits": "processes of the service that ended by themselves",
    "server_errors": "answers of the API that are neither right nor a 503",
    "faults_left_out": "kinds of faults that this machine does not permit",
}


def _total(name: str, rows: Sequence[Row]) -> float | None:
    found = numbers(rows, name)
    return sum(found) if found else None


BENCH = Benchmark(
    "chaos",
    keys=("seed",),
    goals=[Goal(f"0 {text}", partial(_total, name), at_most=0) for name, text in GOALS.items()],
)


def measure(options: argparse.Namespace) -> None:
    BENCH.run((options.seed,), partial(_run, options))
    for row in BENCH.rows:
        print_table([{"what": name, "value": value} for name, value in row.items()])


def _run(options: argparse.Namespace) -> Row:
    with running_cluster() as cluster, cluster.database() as database:
        client = Client(cluster.url, options.epochs)
        teacher = prepare_teacher(client)
        expected = run_undisturbed(client, teacher)
        say("each kind of job ran once, undisturbed")
        audit.begin(database)
        earlier, began = len(client.jobs), time.monotonic()
        injected: Counter[str] = Counter()
        with Submitting(client, teacher, jobs=earlier + options.jobs, waiting=_WAITING):
            _inject(cluster, options, injected)
        client.wait_for_all(options.patience)
        took_s = time.monotonic() - began
        happens(lambda: not checks.orphans(cluster, database), within_s=_time_to_clean_up(cluster))
        disturbed = client.jobs[earlier:]
        found = _check(cluster, client, database, disturbed, expected)
        cluster.revive()
        cluster.stop()
        found["orphan_processes"] = checks.orphan_processes(cluster)
        found["unplanned_exits"] = list(cluster.exits.elements())
        found["faults_left_out"] = cluster.impossible
        _explain(found)
        return {
            "jobs": len(disturbed),
            "faults": injected.total(),
            "duration_s": round(took_s, 1),
            "lease_s": LEASE_S,
            "clocks_apart_s": max(CLOCKS_S) - min(CLOCKS_S),
            "load_at_end": os.getloadavg()[0],
            **{name: len(wrong) for name, wrong in found.items()},
            "audited_writes": audit.count_writes(database),
            **checks.attempts(database, disturbed),
            **{f"fault: {name}": count for name, count in sorted(injected.items())},
            **{f"answers: {status}": count for status, count in sorted(client.answers.items())},
        }


def _inject(cluster: Cluster, options: argparse.Namespace, injected: Counter[str]) -> None:
    draw = Random(options.seed)
    for fault in schedule(options.kills, draw, possible_faults(cluster)):
        time.sleep(draw.uniform(0, _LONGEST_PAUSE_S))
        cluster.revive()
        injected[fault.name] += 1
        say(f"{injected.total()}/{options.kills} {fault.name}: {fault.means}")
        fault.inject(cluster, draw)


def _time_to_clean_up(cluster: Cluster) -> float:
    settings = cluster.settings
    longest = max(settings.keep_orphans, settings.keep_work) + 4 * settings.cleanup_interval
    return 2 * longest.total_seconds()


def _check(
    cluster: Cluster,
    client: Client,
    database: Database,
    jobs: Sequence[Submitted],
    expected: Mapping[int, Json],
) -> dict[str, list[str]]:
    errors = [status for status in client.answers.elements() if status.startswith("5") and status != "503"]
    listed: dict[str, Callable[[], list[str]]] = {
        "lost": lambda: checks.lost(jobs),
        "failed": lambda: checks.failed(client, jobs),
        "created_twice": lambda: checks.twice(database, len(client.jobs)),
        "stale_writes": lambda: audit.stale_writes(database, cluster.worker_names),
        "impossible_histories": lambda: checks.impossible_histories(database),
        "different_results": lambda: checks.different(client, jobs, expected),
        "damaged_files": lambda: checks.damaged_files(client, jobs),
        "orphans": lambda: checks.orphans(cluster, database),
        "server_errors": lambda: errors,
    }
    return {name: find() for name, find in listed.items()}


def _explain(found: Mapping[str, Sequence[str]]) -> None:
    for name, wrong in found.items():
        for text in wrong[:_SHOWN]:
            say(f"{name}: {text}")


def main() -> int:
    # SIGTERM unwinds as Ctrl-C does, so that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20, help="at least so many; more while there are faults")
    parser.add_argument("--kills", type=int, default=40, help="faults to inject")
    parser.add_argument("--seed", type=int, default=0, help="decides the order of the faults")
    parser.add_argument("--epochs", type=float, default=20, help="of each job's training")
    parser.add_argument(
        "--patience", type=float, default=600, help="seconds for the jobs after the last fault"
    )
    return BENCH.main(measure, parser, selects=["seed"])


if __name__ == "__main__":
    sys.exit(main())
