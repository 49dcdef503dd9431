"""What a job on vectors needs beside what others do: the teacher's on dev and test, and fewer dimensions."""

from dataclasses import replace

from app.domain.tasks import TASKS
from worker.contracts import TokenizedSplit
from worker.distillation.teacher_vectors import reduced_teacher, with_teacher_vectors
from worker.job.stages.method_context import method_context
from worker.job.stages.preparation import evaluator_of
from worker.job.state import JobState


def is_measured_by_vectors(state: JobState) -> bool:
    """Whether the teacher's own vectors are what students are measured by."""
    return TASKS[state.dataset.task].answers_in_vectors and not state.request.learns_from_scores


def ask_teacher(state: JobState) -> None:
    """Have the teacher's vectors of dev and test beside these."""
    context = method_context(state)

    def asked(split: TokenizedSplit) -> TokenizedSplit:
        return with_teacher_vectors(split, state.teacher, pad_id=state.data.pad_id, context=context)

    state.data = replace(state.data, dev=asked(state.data.dev))
    state.test = None if state.test is None else asked(state.test)
    state.teacher_evaluator = state.student_evaluator = evaluator_of(state)


def is_reduced(state: JobState) -> bool:
    """Whether the student's vectors are to have fewer dimensions than the teacher's."""
    if not is_measured_by_vectors(state):
        return False
    given = state.request.teacher
    return given is not None and state.data.dimensions < given.manifest.dimensions


def reduce(state: JobState) -> None:
    """Put a teacher with shorter vectors in the teacher's place."""
    context = method_context(state)
    state.teacher = reduced_teacher(state.teacher, state.data, state.data.dimensions, context)
