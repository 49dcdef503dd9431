"""From a trained student to one that can be stored: measured, exported and checked."""

from app.domain.tasks import TASKS, activation_keys
from app.domain.word_splitting import RECORD
from worker.evaluation.served_tagging import learnt_words, served_quality, served_warning, tags_words
from worker.export.exports import make_exports
from worker.job.artifacts import save_model
from worker.job.latency_warnings import latency_warnings
from worker.job.quality_warnings import quality_warnings
from worker.job.stages.cascades import measure_cascades
from worker.job.stages.comparing import compared, judged
from worker.job.stages.scores import asks_teacher
from worker.job.stages.sound_exports import delete_excluded, exclude_unsound
from worker.job.stages.teacher import measure_teacher, shown_metrics
from worker.job.state import JobState


def evaluate(state: JobState) -> None:
    """Measure the student on dev, and warn of what is doubtful."""
    evaluator = state.student_evaluator
    student = evaluator.candidate(state.student.network, state.architecture)
    evaluator.measure_dev(student)
    state.evaluated_student = student
    state.reporter.metrics("evaluating", 0, shown_metrics(student))
    # A network that is not learnt from is no measure of the student.
    teacher = state.evaluated_teacher if asks_teacher(state) else None
    warnings = quality_warnings(evaluator, student, teacher=teacher, training=state.student.metrics)
    for warning in warnings:
        state.reporter.message(warning, is_warning=True)


def export(state: JobState) -> None:
    """Write the student's folder: weights, config, tokenizer, ONNX files, how its words lie in a text."""
    student, folder = state.evaluated_student, state.student_folder
    student.network.cpu()
    if TASKS[state.data.task].outputs == "number":
        student.network.config.update(activation_keys(state.data.activation))
    save_model(student, state.teacher, folder, max_length=state.max_length)
    student.paths = make_exports(student.network, state.spec.exports, folder)
    if tags_words(state.dataset.task):
        record = learnt_words(state.dataset_folder).to_json()
        (folder / RECORD).write_text(record, "utf-8")


def check(state: JobState) -> None:
    """Compare the ONNX files with the network, and leave out an int8 file that answers otherwise.

    Raises:
        JobError: the fp32 file, or one that the client requires, answers otherwise than the network.
    """
    student, required = state.evaluated_student, {"fp32", *state.spec.required_exports}
    state.student_evaluator.compare_exports(student)
    excluded = exclude_unsound(state, student, whose="student", required=required)
    delete_excluded(student, excluded)
    if not student.paths:  # what was trained can still be served
        state.reporter.message("The student is stored with an fp32 file in its place.", is_warning=True)
        student.paths = make_exports(student.network, ["fp32"], state.student_folder)
        state.student_evaluator.compare_exports(student)
        exclude_unsound(state, student, whose="student", required=required)
    if tags_words(state.dataset.task) and "dev" in state.evaluated_student.quality:
        _measure_served(state)


def _measure_served(state: JobState) -> None:
    """Measure a tagger on running text too, and warn where that is worse than on the data's own words."""
    student = state.evaluated_student
    path = student.paths.get("fp32") or next(iter(student.paths.values()))
    served = served_quality(
        path,
        state.student_folder,
        state.dataset_folder,
        labels=state.data.labels,
        data_labels=state.dataset.labels,
        max_length=state.max_length,
        threads=student.threads,
    )
    student.quality["dev"]["served_f1"] = served.running_text
    if warning := served_warning(served):
        state.reporter.message(warning, is_warning=True)


def measure(state: JobState) -> None:
    """Measure latency, and quality on test: once a model, when nothing can be changed any more."""
    state.student_evaluator.measure_latency(state.evaluated_student)
    for model in (state.evaluated_student, *state.controls.values()):
        state.student_evaluator.look_at_test(model)
    if state.evaluated_teacher is not None:
        measure_teacher(state, state.evaluated_teacher)
    measure_cascades(state)
    state.comparison = compared(state)
    state.gate = judged(state)
    for warning in latency_warnings(student=state.evaluated_student, teacher=state.evaluated_teacher):
        state.reporter.message(warning, is_warning=True)
