"""Two hundred clients that poll jobs at once, against a server process of its own on each database."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from app.core.db import Database
from app.core.db.jobs import Job
from benchmarks.closed_loop import get, measure_load
from tests.e2e.conftest import running_stack

CLIENTS = 200
JOBS = 100


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def api(request, tmp_path_factory):
    url = request.getfixturevalue(f"{request.param}_url")
    with running_stack(tmp_path_factory.mktemp("api"), {"database_url": url}) as stack:
        yield stack


@pytest.fixture(scope="module")
def job_ids(api) -> list[str]:
    database = Database(api.settings.resolved_database_url)
    spec = {
        "teacher": "mdl_00000000000000000000000000",
        "dataset": "dst_00000000000000000000000000",
        "method": {"name": "weight_squeezing"},
        "target": {"compression_ratio": 2},
    }
    with database.transaction() as session:
        jobs = [Job(spec=spec, dataset_id=spec["dataset"], method="weight_squeezing") for _ in range(JOBS)]
        session.add_all(jobs)
        session.flush()
        ids = [job.id for job in jobs]
    database.dispose()
    return ids


def test_two_hundred_clients_poll_jobs(api, job_ids):
    port = api.settings.port
    requests = [get("127.0.0.1", f"/v1/jobs/{job_id}") for job_id in job_ids]
    # Any answer but 200, and any connection that is closed, raises.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as generator:

        def load(clients: int, seconds: float):
            run = generator.submit(
                measure_load, "127.0.0.1", port, requests, clients=clients, seconds=seconds, warm_up_s=0.5
            )
            return run.result()

        alone = load(1, 2)
        together = load(CLIENTS, 10)
    # Served one after the other, each would wait two hundred times as long as one client alone; at its worst,
    # because the tests beside this one take their share of the cores at any time.
    assert together.quantile_ms(0.99) < CLIENTS * alone.quantile_ms(0.99)
    assert together.rate > alone.rate


def test_lists_and_polls_at_once_leave_no_session_open(api, job_ids):
    port = api.settings.port
    paths = ["/v1/jobs", "/v1/models", "/metrics", *(f"/v1/jobs/{job_id}/events" for job_id in job_ids)]
    requests = [get("127.0.0.1", path) for path in paths]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as generator:
        run = generator.submit(
            measure_load, "127.0.0.1", port, requests, clients=CLIENTS, seconds=2, warm_up_s=0.5
        )
        assert run.result().latencies_s
    assert api.get("/readyz")["database"] == "ok"
