"""What a report says, as tables of text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.domain.documents.comparison import (
    ClassScore,
    ComparedModel,
    ComparedName,
    Comparison,
    Confusion,
    Disagreement,
    Measured,
    SplitComparison,
)
from app.domain.documents.report import JobReport, ModelReport
from app.domain.tasks import TASKS

_NAMES: Final[Mapping[ComparedName, str]] = {
    "teacher": "Teacher",
    "student": "Student",
    "onnx_fp32": "Student, ONNX fp32",
    "onnx_int8": "Student, ONNX int8",
    "without_distillation": "Same student without distillation",
    "from_scratch": "Same shape from random weights",
    "tfidf": "TF-IDF with logistic regression",
}
_MOST_CLASSES: Final = 50
_MOST_CONFUSED: Final = 10
_NOTHING: Final = "-"
_BYTES_OF_MB: Final = 1e6


@dataclass(frozen=True)
class Table:
    """A heading, rows of text under the names of their columns, and what is to be said of them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What the forms of a report are made of."""

    title: str
    facts: Mapping[str, str]
    """What was compressed, how, and when, by name."""
    measured: JobReport
    comparison: Comparison | None
    """None of a job of a version that had none."""
    gate: Sequence[str] = ()
    """What the publish gate says, a sentence each."""
    warnings: Sequence[str] = field(default=())


def report_tables(report: Report, *, with_texts: bool) -> list[Table]:
    """All tables, in order; ``with_texts`` those as well that show rows of the data set."""
    tables = [*_quality(report), *_sizes(report)]
    comparison = report.comparison
    if comparison is None:
        return tables
    tables += _controls(comparison)
    for name, split in comparison.splits.items():
        tables += _classes(name, split.classes)
        tables += _confusions(name, split.confusion)
        if with_texts:
            tables += _disagreements(name, split.disagreements)
    return [*tables, _environment(comparison)]


def model_name(name: ComparedName, comparison: Comparison) -> str:
    """As a report calls a model."""
    return _NAMES.get(name) or f"Always {TASKS[comparison.task].trivial_answer}"


def number(value: float | None) -> str:
    """Of a metric, a share or a probability."""
    return _NOTHING if value is None else f"{value:.4g}" if abs(value) > 1 else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:+.4f}"


def _with_interval(measured: Measured | None, *, is_signed: bool = False) -> str:
    if measured is None:
        return _NOTHING
    show = _signed if is_signed else number
    if measured.low is None:
        return show(measured.value)
    return f"{show(measured.value)} ({show(measured.low)} to {show(measured.high)})"


def _quality(report: Report) -> Iterator[Table]:
    if report.comparison is None:
        yield from _quality_alone(report.measured)
        return
    comparison = report.comparison
    for name, split in comparison.splits.items():
        yield Table(
            title=f"Quality on {name}",
            columns=(
                "Model",
                comparison.metric,
                "Share of the teacher's",
                "Difference to the teacher",
                "p",
                "Agreement with the teacher",
                "Calibration error",
            ),
            rows=[_quality_row(model, comparison) for model in split.models],
            note=_quality_note(split, comparison),
        )


def _quality_row(model: ComparedModel, comparison: Comparison) -> Sequence[str]:
    beside = model.beside_teacher
    return (
        model_name(model.name, comparison),
        _with_interval(model.quality),
        _with_interval(beside.retained if beside else None),
        _with_interval(beside.difference if beside else None, is_signed=True),
        _p_value(beside.p_value) if beside else _NOTHING,
        number(model.agreement),
        number(model.calibration.expected_error if model.calibration else None),
    )


def _p_value(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return "<0.001" if value < 1e-3 else f"{value:.3f}"


def _quality_note(split: SplitComparison, comparison: Comparison) -> str:
    sampled = {model.rows for model in split.models} - {split.rows}
    tests = {model.beside_teacher.test for model in split.models if model.beside_teacher}
    test = "McNemar's exact test" if "mcnemar" in tests else "a paired bootstrap" if tests - {None} else ""
    of_teacher = "The labels are the choices of teacher_scores. " if split.labelled_by_teacher else ""
    of_files = "".join(f" Files: {rows:,} of the rows." for rows in sorted(sampled))
    of_p = f" p is of {test}, two-sided." if test else ""
    return (
        f"{of_teacher}{split.rows:,} rows.{of_files} In brackets: {comparison.level:.0%} of "
        f"{comparison.resamples:,} bootstrap resamples of the rows, the same for all models.{of_p}"
    )


def _quality_alone(report: JobReport) -> Iterator[Table]:
    """Of a job without a comparison."""
    models = {"Teacher": report.teacher, "Student": report.student}
    for split, trivial in report.trivial_baseline.items():
        rows = [
            (name, number(model.quality.get(split, {}).get(report.metric)))
            for name, model in models.items()
            if model is not None
        ]
        yield Table(f"Quality on {split}", ("Model", report.metric), [*rows, ("Constant", number(trivial))])


def _sizes(report: Report) -> Iterator[Table]:
    measured = report.measured
    models = {"teacher": measured.teacher, "student": measured.student}
    rows = [row for name, model in models.items() if model for row in _files(name, model, report.comparison)]
    yield Table(
        title="Size and latency",
        columns=("Model", "Parameters", "File", "Size, MB", "Latency, batch of 1, ms", "Batch of 32, ms"),
        rows=rows,
        note="Latency: the median of runs on dev texts of all lengths, tokenising left out, and in brackets "
        "where the middle 80 % of runs lie.",
    )


def _files(name: str, model: ModelReport, comparison: Comparison | None) -> Iterator[Sequence[str]]:
    for precision, export in model.exports.items():
        yield (
            name.capitalize(),
            f"{model.total_parameters:,}",
            f"ONNX {precision}",
            f"{export.size_bytes / _BYTES_OF_MB:.2f}",
            *(
                _latency(comparison, name, precision, size, export.latency_ms.get(str(size)))
                for size in (1, 32)
            ),
        )


def _latency(
    comparison: Comparison | None, model: str, precision: str, size: int, median_ms: float | None
) -> str:
    for one in comparison.latencies if comparison else ():
        if (one.model, one.precision, one.batch_size) == (model, precision, size):
            return f"{one.median_ms:.3g} ({one.p10_ms:.3g} to {one.p90_ms:.3g})"
    return _NOTHING if median_ms is None else f"{median_ms:.3g}"


def _controls(comparison: Comparison) -> Iterator[Table]:
    if comparison.controls:
        yield Table(
            title="Controls",
            columns=("Model", "Method", "Parameters", "Steps", "Seconds", "Budget"),
            rows=[
                (
                    model_name(control.name, comparison),
                    control.method,
                    f"{control.parameters:,}",
                    f"{control.steps:,}",
                    f"{control.seconds:.1f}",
                    control.about,
                )
                for control in comparison.controls
            ],
        )


def _classes(split: str, classes: Sequence[ClassScore]) -> Iterator[Table]:
    if not classes:
        return
    by_loss = sorted(classes, key=lambda one: (one.precision_delta or 0) + (one.recall_delta or 0))
    left_out = len(classes) - _MOST_CLASSES
    yield Table(
        title=f"By label on {split}",
        columns=("Label", "Rows", "Precision", "to the teacher", "Recall", "to the teacher"),
        rows=[
            (
                one.label,
                f"{one.rows:,}",
                number(one.precision),
                _signed(one.precision_delta),
                number(one.recall),
                _signed(one.recall_delta),
            )
            for one in by_loss[:_MOST_CLASSES]
        ],
        note=f"{left_out} labels that lose less are left out." if left_out > 0 else "",
    )


def _confusions(split: str, found: Confusion | None) -> Iterator[Table]:
    if found is None:
        return
    wrong = [
        (count, found.labels[row], found.labels[column])
        for row, counts in enumerate(found.counts)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    wrong.sort(key=lambda one: -one[0])
    if wrong:
        yield Table(
            title=f"Most frequent confusions on {split}",
            columns=("Label", "Student's answer", "Rows"),
            rows=[(label, answer, f"{count:,}") for count, label, answer in wrong[:_MOST_CONFUSED]],
        )


def _disagreements(split: str, found: Sequence[Disagreement]) -> Iterator[Table]:
    if not found:
        return

    def answer(given: str, probability: float | None) -> str:
        return given if probability is None else f"{given} ({probability:.2f})"

    yield Table(
        title=f"Where student and teacher differ most on {split}",
        columns=("Row", "Text", "Label", "Teacher", "Student"),
        rows=[
            (
                str(one.row),
                one.text,
                one.label or _NOTHING,
                answer(one.teacher.answer, one.teacher.probability),
                answer(one.student.answer, one.student.probability),
            )
            for one in found
        ],
    )


def _environment(comparison: Comparison) -> Table:
    found = comparison.environment
    threads = sorted({one.threads for one in comparison.latencies})
    return Table(
        title="Measured with",
        columns=("What", "Value"),
        rows=[
            ("Processor", f"{found.processor}, {found.cores} cores"),
            ("Trained on", found.device),
            ("System", found.system),
            *((["Threads of a run", " and ".join(map(str, threads))],) if threads else ()),
            *((name, version) for name, version in found.versions.items()),
        ],
    )
