"""The models of a job beside each other."""

from app.domain.documents.comparison import Comparison
from app.domain.documents.gate import GateResult, judge
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


def judged(state: JobState) -> GateResult | None:
    """What the publish gate says of the student, by what was compared; a warning where it misses it."""
    gate, splits = state.spec.gate, state.comparison.splits
    if gate is None:
        return None
    split = "test" if "test" in splits else "dev"
    result = judge(gate, splits[split].models, split=split, metric=state.comparison.metric)
    if result.is_withheld:
        first, *others = result.sentences[:-1]
        more = f" So do {len(others)} more conditions: see the report." if others else ""
        state.reporter.message(
            f"The student misses its publish gate and is not served until it is released. {first}{more}",
            is_warning=True,
        )
    return result
