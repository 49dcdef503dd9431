"""The model card of a job's student."""

from app.domain.documents.report import JobReport
from app.domain.reports.card import CARD, model_card
from app.domain.reports.tables import Report
from worker.job.state import JobState


def write_card(state: JobState, report: JobReport) -> None:
    """Put it into the student's folder."""
    request, spec = state.request, state.spec
    training = spec.training
    facts = {
        "Method": spec.method.name,
        "Task": state.dataset.task,
        "Teacher": spec.teacher or "none",
        "Data set": request.dataset.id,
        "Job": request.job_id,
        "Parameters": f"{report.student.total_parameters:,}",
        "Longest input": f"{state.max_length} tokens",
        "Training": f"{training.epochs:g} epochs, batches of {training.batch_size}, seed {training.seed}"
        if training.epochs is not None and spec.method.trains_in_steps
        else "",
    }
    shown = Report(
        title=spec.student_name or f"A student by {spec.method.name}",
        facts={name: value for name, value in facts.items() if value},
        measured=report,
        comparison=state.comparison,
        gate=state.gate.sentences if state.gate is not None else (),
    )
    (state.student_folder / CARD).write_text(model_card(shown, state.dataset.task), "utf-8")
