"""The models of a job beside each other."""

from app.domain.documents.comparison import Comparison
from worker.job.comparison import Comparer
from worker.job.environment import environment
from worker.job.state import JobState


def compared(state: JobState) -> Comparison:
    """What the report says of all models on the same rows, once each was measured."""
    comparer = Comparer(
        data=state.data,
        evaluator=state.student_evaluator,
        teacher_evaluator=state.teacher_evaluator,
        folder=state.dataset_folder,
        teacher=state.evaluated_teacher,
        student=state.evaluated_student,
        controls=state.controls,
    )
    return comparer.compare(environment=environment(state.device), controls=state.control_facts)
