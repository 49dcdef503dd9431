"""What a student's files and its teacher's come to together."""

from app.domain.tasks import TASKS
from worker.evaluation.cascade import measure_cascade
from worker.job.state import JobState


def measure_cascades(state: JobState) -> None:
    """Note at each of the student's files how it and the teacher answer together."""
    student, teacher = state.evaluated_student, state.evaluated_teacher
    if teacher is None or not teacher.paths or not TASKS[state.data.task].cascades:
        return
    if "dev" not in student.quality or "dev" not in teacher.quality:
        return  # there are no labels to be right about
    served = "fp32" if "fp32" in teacher.paths else next(iter(teacher.paths))
    _, of_teacher = state.teacher_evaluator.cascade_logits(teacher, served)
    for precision in student.paths:
        dev, logits = state.student_evaluator.cascade_logits(student, precision)
        cascade = measure_cascade(logits, of_teacher, dev, state.data)
        export = student.exports[precision]
        student.exports[precision] = export.model_copy(update={"cascade": cascade})
