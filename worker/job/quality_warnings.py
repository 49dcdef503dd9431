"""What a student's quality on dev says of its training, in sentences for the client."""

from collections.abc import Iterator, Mapping
from typing import Final

from worker.job.evaluator import EvaluatedModel, Evaluator
from worker.training.dev_curve import FINAL_GAIN, is_worthwhile

_LITTLE: Final = 0.1
"""Of the way from the trivial answer to the teacher."""
_AHEAD: Final = 0.02
"""Relative; less may be chance."""


def quality_warnings(
    evaluator: Evaluator,
    student: EvaluatedModel,
    *,
    teacher: EvaluatedModel | None,
    training: Mapping[str, float],
) -> Iterator[str]:
    """Sentences that say what is doubtful and what to do about it.

    Args:
        evaluator: by which both were measured.
        student: measured on dev.
        teacher: likewise; None where there is none to compare with.
        training: the student's metrics.
    """
    quality, metric = student.dev, evaluator.metric
    reached, baseline = quality[metric], evaluator.trivial_baseline["dev"]
    if evaluator.tells_apart and not evaluator.has_learnt(quality):
        yield (
            f"The student's {metric} on dev is {reached:.3f}, no better than always predicting "
            f"{evaluator.trivial_answer}: it has learned nothing. Use more training.epochs or more data, or "
            "a method that starts from the teacher's weights, which needs less of both."
        )
        return
    if teacher is not None:
        yield from _beside_teacher(reached, teacher.dev[metric], baseline, evaluator)
    if is_worthwhile(training.get(FINAL_GAIN, 0.0)):
        yield (
            f"The student's {metric} on dev was still rising when its training ended. More training.epochs, "
            "or a larger training.max_epochs, will make it better."
        )


def _beside_teacher(reached: float, teachers: float, baseline: float, evaluator: Evaluator) -> Iterator[str]:
    metric = evaluator.metric
    if reached > teachers + _AHEAD * abs(teachers):
        yield (
            f"The student's {metric} on dev is {reached:.3f}, its teacher's {teachers:.3f}: the teacher was "
            "not fully trained. Fine-tune it for more epochs, then repeat this job: the student gains too."
        )
    elif reached - baseline < _LITTLE * (teachers - baseline):
        yield (
            f"The student's {metric} on dev is {reached:.3f}, little more than the {baseline:.3f} of always "
            f"predicting {evaluator.trivial_answer}; its teacher's is {teachers:.3f}. Use more "
            "training.epochs, a larger target, or a method that starts from the teacher's weights."
        )
