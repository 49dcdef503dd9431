"""What a client sees when nobody announces jobs; it comes last, since it stops the workers others share."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("service", ["production"], indirect=True)
def test_a_broker_that_is_away_delays_jobs_and_stops_none(stack: Stack, tmp_path: Path):
    stack.have_workers(0)
    worker = stack.start_worker(SQUEEZE_BROKER_URL="redis://127.0.0.1:1/0").process
    encoder, dataset = stack.upload(tmp_path)
    job = stack.wait_for_end(stack.start_job(encoder, dataset, training={"epochs": 1}, exports=["fp32"]))
    assert (job["status"], job["error"]) == ("succeeded", None), stack.logs()
    worker.terminate()
    assert worker.wait(timeout=10) == 0
