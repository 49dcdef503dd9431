"""The time of a plan, by what jobs have taken on the devices of the workers that are there."""

from typing import Any

import pytest

from app.core.db.stage_times import StageTimes, add_stage_times
from app.domain.planning.stages import FIGURES_VERSION
from tests.app.conftest import Api
from tests.app.workers.test_workers import add_worker


def test_it_goes_by_what_jobs_took_on_the_workers_devices(api: Api, teacher: str, dataset: str):
    body = {"teacher": teacher, "dataset": dataset, "method": {"name": "weight_copy"}}
    body |= {"target": {"compression_ratio": 2}}

    def planned() -> dict[str, Any]:
        return api.http.post("/v1/plans", json=body).json()["estimate"]

    built_in = planned()
    assert built_in["measured_jobs"] == 0
    assert built_in["seconds"] == pytest.approx(sum(stage["seconds"] for stage in built_in["stages"]))
    add_worker(api.database, devices=["CPU, 2 cores"])
    with api.database.transaction() as session:
        for device, ratio in (("CPU, 2 cores", 3.0), ("NVIDIA H100", 0.1)):
            times = StageTimes(
                device=device,
                method="weight_copy",
                step_products=built_in["step_products"],
                figures_version=FIGURES_VERSION,
                ratios={stage["stage"]: ratio for stage in built_in["stages"]},
            )
            add_stage_times(session, times)
    measured = planned()
    assert measured["measured_jobs"] == 1
    fixed = sum(stage["fixed_seconds"] for stage in built_in["stages"])
    assert measured["seconds"] == pytest.approx(3 * (built_in["seconds"] - fixed) + fixed)
