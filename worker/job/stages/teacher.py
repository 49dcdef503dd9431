"""What a job finds out about the teacher that its student is compared with."""

import math
from collections.abc import Mapping
from contextlib import suppress

from app.domain.errors import JobError
from worker.job.artifacts import set_aside, teacher_exports
from worker.job.evaluator import EvaluatedModel
from worker.job.stages.scores import asks_teacher
from worker.job.stages.sound_exports import exclude_unsound
from worker.job.state import JobState


def evaluate_teacher(state: JobState) -> None:
    """Measure the teacher on dev.

    Raises:
        JobError: ``teacher_not_trained``, when there is nothing to learn from it.
    """
    evaluator = state.teacher_evaluator
    candidate = evaluator.candidate(state.teacher.network, state.teacher.architecture)
    quality: Mapping[str, float] = {}
    with suppress(JobError):  # its logits are not numbers
        evaluator.measure_dev(candidate)
        quality = candidate.dev
    cannot_tell = bool(quality) and not evaluator.tells_apart
    has_learnt = evaluator.has_learnt(quality) or cannot_tell
    # Where scores say everything, nothing is learnt from what this one says.
    if state.teacher.has_new_head or not (has_learnt or (quality and not asks_teacher(state))):
        metric, baseline = evaluator.metric, evaluator.trivial_baseline["dev"]
        reached = quality.get(metric, math.nan)
        raise JobError(
            "teacher_not_trained",
            f"The teacher's {metric} on dev is {reached:.3f}; always predicting {evaluator.trivial_answer} "
            f"scores {baseline:.3f}. "
            "Run a fine_tuning job on it first and use its student as the teacher.",
            metric=metric,
            teacher=reached,
            trivial_baseline=baseline,
        )
    state.reporter.metrics("evaluating_teacher", 0, shown_metrics(candidate))
    state.evaluated_teacher = candidate


def shown_metrics(model: EvaluatedModel) -> dict[str, float]:
    """Those on dev by name, agreement with a teacher called so."""
    if "dev" in model.quality:
        return dict(model.quality["dev"])
    return {f"agreement_{name}": value for name, value in model.agreement["dev"].items()}


def measure_teacher(state: JobState, teacher: EvaluatedModel) -> None:
    """Measure the teacher's ONNX files, and its quality on test; keep those that its row lacks.

    So that it can be served too. A file that is not sound is left out, and fails no job.
    """
    request, evaluator, given = state.request, state.teacher_evaluator, state.request.teacher
    assert given is not None
    try:
        teacher.paths = teacher_exports(
            teacher.network.cpu(),
            given.manifest,
            request,
            state.teacher_folder,
            digest=state.uploaded_teacher.digest,
        )
    except JobError as error:
        state.reporter.message(f"The teacher's ONNX files are excluded. {error.message}", is_warning=True)
    evaluator.compare_exports(teacher)
    for precision in exclude_unsound(state, teacher, whose="teacher"):
        del teacher.paths[precision]
    evaluator.measure_latency(teacher)
    evaluator.look_at_test(teacher)
    if given.manifest.task != state.dataset.task:
        return  # the files answer otherwise than its row says
    new = teacher.exports.keys() - given.manifest.exports.keys()
    set_aside({precision: teacher.paths[precision] for precision in new}, state.workdir)
    state.teacher_exports = {precision: teacher.exports[precision] for precision in new}
