"""What jobs took that have run already goes before built-in figures."""

import pytest

from app.domain.architectures import EncoderShape
from app.domain.documents import TrainingSpec
from app.domain.documents.plan import Estimate
from app.domain.planning import MeasuredJob, TypicalRow, Workload, estimate
from app.domain.planning.measured import measured_ratios
from app.domain.planning.stages import TRAINING, figures_of
from tests.domain.planning.teachers import CLASSES, MINILM, method

JOB = Workload(
    student=MINILM.at(EncoderShape(layers=3, hidden=192, heads=6, ffn=768)),
    method=method("weight_copy"),
    head=CLASSES,
    rows=1000,
    row=TypicalRow(tokens=20),
    training=TrainingSpec(epochs=3),
    teacher=MINILM,
    given=MINILM,
    dev=100,
)


def seconds(found: Estimate) -> dict[str, float]:
    taken: dict[str, float] = {}
    for stage in found.stages:
        taken[stage.stage] = taken.get(stage.stage, 0.0) + stage.seconds
    return taken


def measured(name: str = "weight_copy", *, size: float = 1.0, **ratios: float) -> MeasuredJob:
    return MeasuredJob(name, JOB.step_products * size, ratios)


def test_without_measured_jobs_it_goes_by_built_in_figures():
    found = estimate(JOB)
    assert found.measured_jobs == 0
    assert found.seconds == pytest.approx(sum(stage.built_in_seconds for stage in found.stages))


def test_a_stage_takes_the_median_of_what_it_took():
    jobs = [measured(training=ratio, exporting=5) for ratio in (2, 3, 100)]
    found, built_in = estimate(JOB, measured=jobs), seconds(estimate(JOB))
    assert found.measured_jobs == 3
    assert seconds(found)[TRAINING] == pytest.approx(3 * built_in[TRAINING])
    assert seconds(found)["exporting"] == pytest.approx(5 * built_in["exporting"])
    assert seconds(found)["loading"] == built_in["loading"]  # nobody measured it
    assert found.seconds == pytest.approx(sum(seconds(found).values()))


def test_the_nearest_shapes_count():
    near = [measured(size=size, training=2) for size in (0.5, 0.7, 1, 1.5, 2)]
    far = [measured(size=size, training=50) for size in (0.01, 40, 50, 60, 70, 80, 90, 100)]
    assert seconds(estimate(JOB, measured=far + near))[TRAINING] == pytest.approx(
        2 * seconds(estimate(JOB))[TRAINING]
    )


def test_other_methods_tell_of_stages_that_no_job_of_the_method_went_through():
    jobs = [measured("bilstm", training=9, loading=4), measured(training=2)]
    found, built_in = estimate(JOB, measured=jobs), seconds(estimate(JOB))
    assert found.measured_jobs == 1
    assert seconds(found)[TRAINING] == pytest.approx(2 * built_in[TRAINING])
    assert seconds(found)["loading"] == pytest.approx(4 * built_in["loading"])


def test_what_a_job_took_foretells_one_like_it():
    stages = estimate(JOB).stages
    took = {name: 1.7 * planned for name, planned in seconds(estimate(JOB)).items() if name != "planning"}
    ratios = measured_ratios(stages, took)
    assert "planning" not in ratios
    again = estimate(JOB, measured=[MeasuredJob("weight_copy", JOB.step_products, ratios)])
    assert {name: seconds(again)[name] for name in took} == pytest.approx(took)


def test_a_gpu_has_figures_of_its_own():
    cpu, gpu = (estimate(JOB, figures=figures_of([name])) for name in ("CPU, 2 cores", "NVIDIA H100"))
    assert gpu.assumed_gflops > cpu.assumed_gflops
    assert seconds(gpu)[TRAINING] < seconds(cpu)[TRAINING]
    assert figures_of([]) == figures_of(["CPU, 2 cores"])
