"""The stages of a job by name, and what each takes by built-in figures.

The figures are rough: what workers measured on their own devices takes their place as soon as there is some.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.domain.architectures import BYTES_PER_PARAMETER, Architecture
from app.domain.documents.plan import StageEstimate
from app.domain.planning.controls import CONTROL_STEPS
from app.domain.planning.workload import Workload

FETCHING: Final = "fetching"
STARTING: Final = "starting"
"""Of the job's process."""
PREPARING: Final = "preparing"
"""Of the training: what a method finds out of its teacher before the first step."""
TEACHER_OUTPUTS: Final = "teacher_outputs"
TRAINING: Final = "training"
CONTROLS: Final = "training_controls"
STORING: Final = "storing"

FIGURES_VERSION: Final = 3
"""Of the formulas and figures below: times that were measured beside other ones say nothing of these."""

_NARROWING: Final = 4
"""Stretches in which the cost of a network that narrows is taken as constant."""
_COMPARED_TEXTS: Final = 1_000
"""Texts on which files are compared with their network, at most."""
_FIT_S: Final = 2.5e-6
"""Of a term of a text and an output, in a method that solves for its student at once."""
_TIMED_TEXTS: Final = (100, 992)
"""Runs that a file's latency is measured with, one by one and in batches of 32, in texts."""
_TIMED_S: Final = 1.0
"""What either may take, and does with all but small networks."""
_FRAMED: Final = 3
"""Tokens of a text of one token."""
_GENERATED: Final = 20
"""How many times as long as its forward passes it takes to let a network write."""
_STATES: Final = 2
"""How many times as long it takes to keep hidden states, too."""


@dataclass(frozen=True)
class Figures:
    """What a device is thought to do."""

    training_gflops: float
    forward_gflops: float
    """In evaluations, in full precision."""
    layer_s: float
    """Of a layer in a training step, beside its products."""
    parameter_s: float
    """Of a parameter in a training step: gradient and optimiser."""
    calibration_gflops: float
    """In what methods find out of a teacher before the training."""


CPU: Final = Figures(
    training_gflops=200, forward_gflops=60, layer_s=4e-3, parameter_s=2.5e-9, calibration_gflops=200
)
"""Two current cores that train in bf16."""
GPU: Final = Figures(
    training_gflops=40_000, forward_gflops=10_000, layer_s=1e-3, parameter_s=1e-10, calibration_gflops=2_000
)


def figures_of(devices: list[str]) -> Figures:
    """Those of the kind of device that these workers compute on."""
    return CPU if not devices or any(device.startswith("CPU") for device in devices) else GPU


def stage_estimates(job: Workload, figures: Figures) -> list[StageEstimate]:
    """Every stage of a job in its order, by the built-in figures."""
    return [*_before(job, figures), *_training(job, figures), *_after(job, figures)]


def _stage(name: str, seconds: float, *, fixed: float = 0.0) -> StageEstimate:
    return StageEstimate(stage=name, seconds=seconds, built_in_seconds=seconds, fixed_seconds=fixed)


def _before(job: Workload, figures: Figures) -> Iterator[StageEstimate]:
    given_mb = 0.0 if job.given is None else _megabytes(job.given, job)
    yield _stage(FETCHING, 0.2 + given_mb / 300)
    yield _stage(STARTING, 0.05)
    yield _stage("loading", 0.2 + given_mb / 400)
    yield _stage("tokenizing", 0.1 + job.texts * job.row.tokens / 200_000)
    yield _stage("planning", 5.0 if job.is_timed else 0.05)
    if job.is_compared and job.given is not None and job.head.record.answers_in_vectors:
        yield _stage("asking_teacher", 0.1 + _evaluation(job.given, job, figures, rows=job.dev + job.test))
    if job.is_compared and job.given is not None:
        yield _stage("evaluating_teacher", _evaluation(job.given, job, figures, rows=job.dev))
    if job.is_reduced:
        yield _stage("reducing", 0.5)
    if job.given is not None and job.student.vocabulary < job.given.vocabulary:
        yield _stage("trimming", 0.3 + job.texts * job.row.tokens / 1e6)
    if job.given is not None:
        passes = job.method.calibration_passes
        once = 2 * job.products(job.given) * job.calibration_rows / (figures.calibration_gflops * 1e9)
        tokens = 2 * _FRAMED * job.products(job.given) / max(1.0, job.row.tokens) * job.asked_tokens
        alone = tokens / (figures.forward_gflops * 1e9)
        yield _stage(PREPARING, 0.1 + passes * once + alone)
    if job.asked_rows and job.teacher is not None:
        writes = _GENERATED if job.head.record.writes else 1
        writes *= _STATES if job.method.learns_from_states else 1
        asked = 2 * writes * job.products(job.teacher) * job.asked_rows
        yield _stage(TEACHER_OUTPUTS, 0.1 + asked / (figures.training_gflops * 1e9))


def _training(job: Workload, figures: Figures) -> Iterator[StageEstimate]:
    """Stretches of steps that cost alike."""
    if not job.method.trains_in_steps:
        seconds = 0.5 + _FIT_S * job.rows * job.products(job.student)
        yield StageEstimate(stage=TRAINING, seconds=seconds, built_in_seconds=seconds, steps=1)
        return
    evaluations = job.training.evaluations / job.steps
    for phase in job.method.phases:
        pieces = _NARROWING if phase.narrows else 1
        for number in range(pieces):
            size = 1 - (number + 0.5) / pieces if phase.narrows else 0.0
            steps = job.steps * phase.share / pieces
            seconds = steps * (
                _step(job, figures, size=size, generates=phase.generates)
                + evaluations * _evaluation(job.student, job, figures, rows=job.dev)
            )
            refits = min(phase.refits, job.steps * phase.share) / pieces
            seconds += refits * _refit(job, figures, size=size)
            if steps > 0:
                yield StageEstimate(
                    stage=TRAINING, seconds=seconds, built_in_seconds=seconds, steps=max(1, round(steps))
                )


def _step(job: Workload, figures: Figures, *, size: float, generates: bool) -> float:
    """Seconds of one step; ``size`` is between that of the student, 0, and that of the teacher, 1."""
    batch = min(job.training.batch_size, job.learnt_rows)
    products = job.products(job.student) * batch
    layers, parameters = job.layers(job.student), job.count(job.student).total
    if size and job.given is not None:
        products += size * (job.products(job.given) * batch - products)
        parameters += round(size * (job.count(job.given).total - parameters))
    operations = 6 * products
    if generates and job.given is not None:
        stacks = zip(job.stacks(job.given), job.stacks(job.student), strict=False)
        operations += 2 * sum(job.method.generating_products(ours, theirs, size) for ours, theirs in stacks)
    return (
        operations / (figures.training_gflops * 1e9)
        + figures.layer_s * layers
        + figures.parameter_s * parameters
    )


def _refit(job: Workload, figures: Figures, *, size: float) -> float:
    stacks = () if job.given is None else zip(job.stacks(job.given), job.stacks(job.student), strict=False)
    products = sum(job.method.refitting_products(ours, theirs, size) for ours, theirs in stacks)
    return 2 * products / (figures.forward_gflops * 1e9)


def _after(job: Workload, figures: Figures) -> Iterator[StageEstimate]:
    student_mb = _megabytes(job.student, job)
    yield _stage("evaluating", 0.05 + _evaluation(job.student, job, figures, rows=job.dev))
    yield _stage("exporting", _export(student_mb))
    yield _stage("checking", _comparison(job.student, job, figures))
    if job.has_controls:
        yield _stage(CONTROLS, _control_training(job, figures))
    latencies = _latencies(job.student, job)
    measured = _opening(student_mb, job) + _test(job.student, job, figures)
    if job.is_compared and job.given is not None:
        latencies += _latencies(job.given, job)
        measured += _export(_megabytes(job.given, job)) + _comparison(job.given, job, figures)
        measured += _opening(_megabytes(job.given, job), job) + _test(job.given, job, figures)
    yield _stage("measuring", latencies + measured, fixed=latencies)
    yield _stage(STORING, 0.1 + 2.25 * student_mb / 300)


def _control_training(job: Workload, figures: Figures) -> float:
    """Of a linear classifier, and of the student once more, in a few plain steps."""
    linear = 1.0 + _FIT_S * job.rows * job.row.tokens * job.head.outputs
    if job.method.card.keeps_size:
        return linear
    steps = min(job.steps, CONTROL_STEPS)
    return linear + steps * _step(job, figures, size=0.0, generates=False)


def _latencies(architecture: Architecture, job: Workload) -> float:
    """Of the files of a network, which are timed on the CPU."""
    timed = [_evaluation(architecture, job, CPU, rows=rows) for rows in _TIMED_TEXTS]
    return _files(job) * (0.1 + sum(min(_TIMED_S, seconds) for seconds in timed))


def _opening(megabytes: float, job: Workload) -> float:
    """Of the files of a network."""
    return _files(job) * (0.1 + megabytes / 400)


def _export(megabytes: float) -> float:
    return 0.5 + megabytes / 120


def _files(job: Workload) -> int:
    return max(1, job.exports)


def _comparison(architecture: Architecture, job: Workload, figures: Figures) -> float:
    """Of a network with its files, on dev."""
    rows = min(job.dev, _COMPARED_TEXTS)
    return 0.3 + (1 + _files(job)) * _evaluation(architecture, job, figures, rows=rows)


def _test(architecture: Architecture, job: Workload, figures: Figures) -> float:
    if not job.test:
        return 0.0
    compared = _files(job) * _evaluation(architecture, job, figures, rows=min(job.test, _COMPARED_TEXTS))
    return _evaluation(architecture, job, figures, rows=job.test) + compared


def _evaluation(architecture: Architecture, job: Workload, figures: Figures, *, rows: int) -> float:
    writes = _GENERATED if job.head.record.writes else 1
    return 2 * writes * job.products(architecture) * rows / (figures.forward_gflops * 1e9)


def _megabytes(architecture: Architecture, job: Workload) -> float:
    return job.count(architecture).total * BYTES_PER_PARAMETER["fp32"] / 1e6
