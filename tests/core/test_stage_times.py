"""The times of stages that later plans go by."""

from app.core.db import Database
from app.core.db.stage_times import StageTimes, add_stage_times, device_name, stage_times_on


def times(device: str = "CPU, 2 cores", method: str = "scratch", *, version: int = 1) -> StageTimes:
    return StageTimes(
        device=device, method=method, step_products=1e9, figures_version=version, ratios={"loading": 2.0}
    )


def test_those_of_the_devices_and_of_these_figures_are_found(database: Database):
    with database.transaction() as session:
        for row in (times(), times("NVIDIA H100"), times(version=2), times(method="bilstm")):
            add_stage_times(session, row)
    with database.reading() as session:
        found = stage_times_on(session, {"CPU, 2 cores"}, method="bilstm", figures_version=1)
        assert [(row.device, row.method) for row in found] == [
            ("CPU, 2 cores", "bilstm"),
            ("CPU, 2 cores", "scratch"),
        ]
        assert found[0].ratios == {"loading": 2.0}
        assert len(stage_times_on(session, (), method="scratch", figures_version=1)) == 3


def test_the_newest_of_a_method_on_a_device_are_kept(database: Database):
    with database.transaction() as session:
        add_stage_times(session, times("other"))
        for number in range(60):
            row = times()
            row.step_products = number
            add_stage_times(session, row)
    with database.reading() as session:
        found = stage_times_on(session, {"CPU, 2 cores"}, method="scratch", figures_version=1)
        assert [row.step_products for row in found] == [*range(59, 9, -1)]
        assert len(stage_times_on(session, {"other"}, method="scratch", figures_version=1)) == 1


def test_several_devices_have_one_name():
    assert device_name(["NVIDIA H100", "NVIDIA H100"]) == "NVIDIA H100, NVIDIA H100"
    assert len(device_name(["x" * 300])) == 255
