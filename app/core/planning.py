"""From a target to the student's shape, and from a shape to its cost. Arithmetic only."""

import math
from collections.abc import Iterator

from pydantic import BaseModel, Field

from app.core.errors import InvalidRequest
from app.core.shapes import BYTES_PER_PARAMETER, EncoderCard, ParameterCount, Shape
from app.core.specs import Precision, Target, TrainingSpec
from app.core.tasks import Head

_POINTER = "#/target"


class StudentPlan(BaseModel):
    """The student that a target leads to."""

    shape: Shape
    parameters: ParameterCount
    compression_ratio: float = Field(description="Teacher parameters over student parameters.")
    size_mb: dict[Precision, float] = Field(description="Megabytes (10^6 bytes) of weights by precision.")


class Estimate(BaseModel):
    """What a job will roughly cost; see ``estimate`` for what is counted."""

    steps: int
    seconds: float
    peak_memory_mb: float
    assumed_gflops: float = Field(description="The sustained rate that ``seconds`` assumes.")


def plan_student(teacher: EncoderCard, target: Target | None, *, head: Head) -> StudentPlan:
    """The largest student that fits the target, or the teacher's own shape where there is none.

    Of the shapes with the teacher's head width and its ratio of ffn to hidden, the one with the most
    parameters outside the embedding tables: width is dear where the vocabulary is large, depth is not.

    Raises:
        InvalidRequest: no shape fits, or the target is not smaller than the teacher.
    """
    whole = teacher.count(head=head).total
    if target is None:
        return _plan(teacher, teacher.shape, head=head)
    if target.shape is not None:
        _require_within(teacher.shape, target.shape)
        plan = _plan(teacher, target.shape, head=head)
        if plan.parameters.total >= whole:
            raise _too_large(f"The shape {target.shape}", whole)
        return plan
    budget = _budget(target, whole)
    if budget >= whole:
        raise _too_large(f"{budget:,} parameters", whole)
    fitting = [
        (teacher.count(shape, head=head), shape)
        for shape in _family(teacher.shape)
        if teacher.count(shape, head=head).total <= budget
    ]
    if not fitting:
        smallest = min(teacher.count(shape, head=head).total for shape in _family(teacher.shape))
        raise InvalidRequest(
            "target_too_small",
            f"The target allows {budget:,} parameters, but the smallest student of this teacher has "
            f"{smallest:,} ({math.ceil(smallest * BYTES_PER_PARAMETER['fp32'] / 1e4) / 100:.2f} MB in fp32, "
            f"compression ratio {math.floor(10 * whole / smallest) / 10:.1f}), most of them in the "
            "embedding tables. Ask for at least that.",
            pointer=_POINTER,
            smallest_parameters=smallest,
            smallest_size_mb=smallest * BYTES_PER_PARAMETER["fp32"] / 1e6,
            largest_compression_ratio=whole / smallest,
        )
    _, best = max(fitting, key=lambda pair: (pair[0].encoder, pair[1].hidden))
    return _plan(teacher, best, head=head)


def step_count(*, rows: int, training: TrainingSpec) -> int:
    """Optimiser steps of a job: a last, smaller batch of an epoch counts as one."""
    return max(1, round(training.epochs * math.ceil(rows / training.batch_size)))


def estimate(
    student: EncoderCard,
    *,
    head: Head,
    rows: int,
    tokens_per_row: float,
    training: TrainingSpec,
    teacher: EncoderCard | None,
    gflops: float,
) -> Estimate:
    """A rough price: six operations a parameter outside the embeddings and a token, at a given rate.

    The teacher, where one is given, runs forward once over the rows (two operations). Memory is four fp32
    copies of the student, one of the teacher and the activations of one batch.
    """
    count = student.count(head=head)
    tokens = rows * tokens_per_row
    operations = 6 * count.encoder * tokens * training.epochs
    weights = 4 * count.total
    if teacher is not None:
        teacher_count = teacher.count(head=head)
        operations += 2 * teacher_count.encoder * tokens
        weights += teacher_count.total
    s = student.shape
    batch_tokens = (training.micro_batch_size or training.batch_size) * tokens_per_row
    activations = batch_tokens * s.layers * (10 * s.hidden + 2 * s.ffn)
    return Estimate(
        steps=step_count(rows=rows, training=training),
        seconds=operations / (gflops * 1e9),
        peak_memory_mb=(weights + activations) * BYTES_PER_PARAMETER["fp32"] / 1e6,
        assumed_gflops=gflops,
    )


def _family(teacher: Shape) -> Iterator[Shape]:
    """Shapes no larger than the teacher that keep its head width and its ffn ratio."""
    for heads in range(1, teacher.heads + 1):
        hidden = heads * teacher.head_dim
        for layers in range(1, teacher.layers + 1):
            shape = Shape(
                layers=layers, hidden=hidden, heads=heads, ffn=max(8, teacher.ffn * hidden // teacher.hidden)
            )
            if shape != teacher:
                yield shape


def _budget(target: Target, whole: int) -> int:
    if target.compression_ratio is not None:
        return int(whole / target.compression_ratio)
    if target.max_parameters is not None:
        return target.max_parameters
    assert target.max_size_mb is not None
    return int(target.max_size_mb * 1e6 / BYTES_PER_PARAMETER["fp32"])


def _require_within(teacher: Shape, student: Shape) -> None:
    for name in Shape.model_fields:
        ours, theirs = getattr(student, name), getattr(teacher, name)
        if ours > theirs:
            raise InvalidRequest(
                "target_too_large",
                f"The student's {name} ({ours}) is larger than the teacher's ({theirs}).",
                pointer=f"{_POINTER}/shape/{name}",
            )


def _too_large(what: str, whole: int) -> InvalidRequest:
    return InvalidRequest(
        "target_too_large",
        f"{what} is no smaller than the teacher, which has {whole:,} parameters. Ask for less.",
        pointer=_POINTER,
        teacher_parameters=whole,
    )


def _plan(teacher: EncoderCard, shape: Shape, *, head: Head) -> StudentPlan:
    count = teacher.count(shape, head=head)
    return StudentPlan(
        shape=shape,
        parameters=count,
        compression_ratio=teacher.count(head=head).total / count.total,
        size_mb={"fp32": count.total * 4 / 1e6, "int8": count.total / 1e6},
    )
