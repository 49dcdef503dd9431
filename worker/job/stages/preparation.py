"""Between a teacher and its student: texts to tokens, the student's architecture, the vocabulary it keeps."""

from dataclasses import replace

from transformers import PreTrainedModel

from app.domain.architectures import Architecture
from app.domain.planning import plan_student
from app.domain.score_scale import score_scale
from app.domain.tasks import Head
from worker.job.evaluator import Evaluator
from worker.job.latency_probe import LatencyProbe
from worker.job.latency_warnings import probe_warnings
from worker.job.stages.scores import tell_of_scores
from worker.job.state import JobState
from worker.job.text_warnings import text_warnings
from worker.networks.loading import build_network
from worker.runner.protocol import LATENCIES
from worker.tasks.reading import load_task_data
from worker.vocabulary.trimming import config_within, count_pieces, trim_vocabulary


def tokenize(state: JobState) -> None:
    """Encode every split once, and say what of its texts cannot be learnt."""
    tokenizers, max_length = state.teacher.tokenizers, state.max_length
    data, test = load_task_data(
        state.dataset_folder,
        state.dataset,
        labels=state.request.labels,
        activation=state.request.activation,
        dimensions=state.request.dimensions,
        tokenizers=tokenizers,
        max_length=max_length,
        teacher_weights=state.spec.teacher_weights,
        keeps_unscored=state.keeps_unscored,
    )
    for warning in text_warnings(
        data, tokenizers, max_length=max_length, most_tokens=state.teacher_max_length
    ):
        state.reporter.message(warning, is_warning=True)
    if data.activation is not None and (scale := score_scale(state.dataset)) is not None:
        state.reporter.message(scale.told, is_warning=True)
    state.data, state.test = data, test
    tell_of_scores(state)
    state.teacher_evaluator = evaluator_of(state)
    state.student_evaluator = state.teacher_evaluator


def plan(state: JobState) -> None:
    """Take the student that the client was shown; where latency is bounded, find one by measuring."""
    state.architecture = _planned(state)
    if (dimensions := state.architecture.answered_dimensions) is not None:
        state.data = replace(state.data, dimensions=dimensions)


def _planned(state: JobState) -> Architecture:
    teacher, spec, shown = state.teacher, state.spec, state.request.planned_student
    if state.request.teacher is None:
        return teacher.architecture
    if shown is not None:
        return shown

    def build(architecture: Architecture, head: Head) -> PreTrainedModel:
        config = config_within(teacher.network.config, architecture.vocabulary)
        return build_network(config, architecture, head)

    latency = LatencyProbe(build, state.data, known=state.workdir / LATENCIES)
    planned = plan_student(
        teacher.architecture, spec.method, spec.target, head=state.data.head, latency=latency
    )
    for warning in probe_warnings(latency):
        state.reporter.message(warning, is_warning=True)
    return planned.architecture


def is_trimmed(state: JobState) -> bool:
    """Whether the student is to know fewer tokens than the teacher."""
    return state.architecture.vocabulary < state.teacher.architecture.vocabulary


def trim(state: JobState) -> None:
    """Put a teacher with the planned vocabulary in the teacher's place, and the data in its tokens."""
    whole, planned, untrimmed = state.teacher, state.architecture.vocabulary, state.data
    counts = count_pieces([untrimmed.train, untrimmed.unlabeled], whole.architecture.vocabulary)
    teacher = trim_vocabulary(whole, counts, planned, task=state.dataset.task)
    vocabulary = teacher.architecture.vocabulary
    if vocabulary < planned:
        state.reporter.message(
            f"The vocabulary has {vocabulary} tokens instead of the planned {planned}: the data contains no "
            "more."
        )
    state.data, state.test = load_task_data(
        state.dataset_folder,
        state.dataset,
        labels=state.request.labels,
        activation=state.request.activation,
        dimensions=untrimmed.dimensions,
        tokenizers=teacher.tokenizers,
        max_length=state.max_length,
        teacher_weights=state.spec.teacher_weights,
        keeps_unscored=state.keeps_unscored,
        untrimmed=untrimmed.splits if state.test is None else {**untrimmed.splits, "test": state.test},
    )
    state.teacher = teacher
    state.architecture = state.architecture.model_copy(update={"vocabulary": vocabulary})
    state.student_evaluator = evaluator_of(state)


def evaluator_of(state: JobState) -> Evaluator:
    by_teacher = [name for name, split in state.dataset.splits.items() if split.labelled_by_teacher]
    return Evaluator(data=state.data, test=state.test, device=state.device, by_teacher=by_teacher)
