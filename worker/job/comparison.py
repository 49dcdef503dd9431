"""All models of a job on the same rows: what its report says beside the metrics of each.

Shapes: P positions of a split, N rows, C outputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.domain.documents.comparison import (
    FILE_NAMES,
    Calibration,
    ComparedModel,
    ComparedName,
    Comparison,
    Control,
    Environment,
    Measured,
    MeasuredLatency,
    MeasuredName,
    PairedComparison,
    PairedTest,
    ReliabilityPoint,
    SplitComparison,
)
from worker.contracts import FloatArray, IntArray, TaskData, TokenizedSplit
from worker.data.batches import gathered, subset
from worker.evaluation.bootstrap import (
    RESAMPLES,
    Floats,
    RowMetric,
    interval,
    paired_p_value,
    resampled,
    retained,
)
from worker.evaluation.class_scores import LabelCounts, class_scores, confusion, label_counts
from worker.evaluation.disagreements import Texts, disagreements
from worker.evaluation.paired_tests import mcnemar
from worker.evaluation.quality import main_metric
from worker.evaluation.row_answers import agreement, answer_reliability, row_metric
from worker.job.evaluator import EvaluatedModel, Evaluator
from worker.tasks.implementation import Thresholds
from worker.tasks.metrics import label_indices

_SEED: Final = 0


@dataclass(frozen=True)
class _Answers:
    """What one model answers on some rows of a split."""

    name: ComparedName
    split: TokenizedSplit
    """Those rows in the model's tokens: a long one may be cut elsewhere than in another's."""
    quality: float
    """The main metric on these rows."""
    logits: FloatArray | None
    """(P, C); None of answers as wide as the vocabulary."""
    thresholds: Thresholds
    row_metric: RowMetric | None = None
    """How the metric depends on the rows, where logits do not say it."""

    def on(self, rows: IntArray, data: TaskData) -> "_Answers":
        """Those to some rows of the split."""
        if len(rows) == len(self.split):
            return self
        if self.logits is None:
            return replace(self, split=subset(self.split, rows), row_metric=None)
        logits = self.logits[gathered(self.split.position_offsets, rows)]
        split = subset(self.split, rows)
        quality = main_metric(split, logits, data, thresholds=self.thresholds)
        return replace(self, split=split, logits=logits, quality=quality)


class Comparer:
    """Holds the models of a job against each other, split by split."""

    def __init__(
        self,
        *,
        data: TaskData,
        evaluator: Evaluator,
        teacher_evaluator: Evaluator,
        folder: Path,
        teacher: EvaluatedModel | None,
        student: EvaluatedModel,
        controls: Mapping[ComparedName, EvaluatedModel],
    ) -> None:
        """Take models that were measured on all splits.

        Args:
            data: in the student's tokens.
            evaluator: of the student and of controls.
            teacher_evaluator: of the teacher, which may know more tokens.
            folder: of the data set.
            teacher: None where there is none to compare with.
            student: with its files.
            controls: models that were trained only to be compared.
        """
        self._data = data
        self._evaluator = evaluator
        self._teacher_evaluator = teacher_evaluator
        self._folder = folder
        self._teacher = teacher
        self._student = student
        self._controls = controls

    def compare(self, *, environment: Environment, controls: Sequence[Control] = ()) -> Comparison:
        """Everything that the report has of the models together."""
        return Comparison(
            task=self._data.task,
            metric=self._evaluator.metric,
            resamples=RESAMPLES,
            seed=_SEED,
            splits={name: self._split(name) for name in self._evaluator.splits},
            latencies=list(self._latencies()),
            environment=environment,
            controls=list(controls),
        )

    def _split(self, name: str) -> SplitComparison:
        rows = len(self._evaluator.splits[name])
        teacher = None
        if self._teacher is not None:
            teacher = self._answers("teacher", self._teacher, name, self._teacher_evaluator)
        student = self._answers("student", self._student, name, self._evaluator)
        controls = [self._answers(key, model, name, self._evaluator) for key, model in self._controls.items()]
        compared = self._compared([student, *controls], teacher)
        shown = 1 if teacher is None else 2
        trivial = Measured(value=self._evaluator.trivial_baseline[name])
        return SplitComparison(
            rows=rows,
            labelled_by_teacher=name in self._evaluator.by_teacher,
            models=[
                *compared[:shown],
                *self._files(name, student, teacher),
                *compared[shown:],
                ComparedModel(name="trivial", rows=rows, quality=trivial),
            ],
            **self._closer_look(name, student, teacher),
        )

    def _answers(
        self, name: ComparedName, model: EvaluatedModel, split: str, evaluator: Evaluator
    ) -> _Answers:
        quality = (model.quality.get(split) or model.agreement[split])[evaluator.metric]
        return _Answers(
            name,
            evaluator.splits[split],
            quality,
            model.logits.get(split),
            model.thresholds,
            model.row_metrics.get(split),
        )

    def _files(self, name: str, student: _Answers, teacher: _Answers | None) -> list[ComparedModel]:
        """The student's ONNX files on the rows that they were asked of."""
        rows = self._evaluator.sample(name)
        split = student.split if len(rows) == len(student.split) else subset(student.split, rows)
        if teacher is not None:  # whose rows are others where long ones are cut elsewhere
            teacher = teacher.on(rows, self._data) if len(teacher.split) == len(student.split) else None
        files = []
        for precision, export in self._student.exports.items():
            metric = export.metric if name == "dev" else export.test_metric
            if metric is not None:
                logits = self._student.file_logits.get((precision, name))
                files.append(_Answers(FILE_NAMES[precision], split, metric, logits, student.thresholds))
        return self._compared(files, teacher)[0 if teacher is None else 1 :]

    def _compared(self, answers: Sequence[_Answers], teacher: _Answers | None) -> list[ComparedModel]:
        """The teacher, if there is one, and the others."""
        everyone = [*([] if teacher is None else [teacher]), *answers]
        metrics = {one.name: self._row_metric(one) for one in everyone}
        known = {name: metric for name, metric in metrics.items() if metric is not None}
        # A teacher that reads other tokens may have no answer to a row that is cut elsewhere.
        rows = min((metric.rows for name, metric in known.items() if name != "teacher"), default=0)
        alike: dict[str, RowMetric] = {name: metric for name, metric in known.items() if metric.rows == rows}
        drawn = resampled(alike, seed=_SEED)
        return [self._model(one, teacher, drawn) for one in everyone]

    def _row_metric(self, answers: _Answers) -> RowMetric | None:
        if answers.logits is None:
            return answers.row_metric
        return row_metric(answers.split, answers.logits, self._data, thresholds=answers.thresholds)

    def _model(
        self, answers: _Answers, teacher: _Answers | None, drawn: Mapping[str, Floats]
    ) -> ComparedModel:
        model = ComparedModel(
            name=answers.name,
            rows=len(answers.split),
            quality=_measured(answers.quality, drawn.get(answers.name)),
            calibration=self._calibration(answers),
        )
        if teacher is None or answers.name == "teacher":
            return model
        model.beside_teacher = self._beside(answers, teacher, drawn)
        if teacher.logits is not None and answers.logits is not None:
            model.agreement = agreement(
                answers.split,
                teacher.logits,
                answers.logits,
                self._data.task,
                teacher_thresholds=teacher.thresholds,
                thresholds=answers.thresholds,
            )
        return model

    def _calibration(self, answers: _Answers) -> Calibration | None:
        if answers.logits is None:
            return None
        found = answer_reliability(answers.split, answers.logits, self._data.task)
        if found is None:
            return None
        points = [ReliabilityPoint(**vars(part)) for part in found.bins]
        return Calibration(expected_error=found.expected_error, points=points)

    def _beside(self, answers: _Answers, teacher: _Answers, drawn: Mapping[str, Floats]) -> PairedComparison:
        ours, theirs = drawn.get(answers.name), drawn.get(teacher.name)
        test: PairedTest | None = None
        p_value = None
        if ours is not None and theirs is not None:
            test, p_value = "paired_bootstrap", paired_p_value(ours - theirs)
        if self._data.task == "text_classification":  # of which each row has an answer
            assert answers.logits is not None
            assert teacher.logits is not None
            truth = label_indices(answers.split)
            rights = (logits.argmax(axis=1) == truth for logits in (answers.logits, teacher.logits))
            test, p_value = "mcnemar", mcnemar(*rights).p_value
        pairs = None if ours is None or theirs is None else (ours, theirs)
        share = None
        if teacher.quality > 0:
            share = _measured(answers.quality / teacher.quality, pairs and retained(*pairs))
        return PairedComparison(
            retained=share,
            difference=_measured(answers.quality - teacher.quality, pairs and pairs[0] - pairs[1]),
            test=test,
            p_value=p_value,
        )

    def _closer_look(self, name: str, student: _Answers, teacher: _Answers | None) -> dict[str, Any]:
        """The student's labels one by one, and the rows that teacher and student answer differently."""
        if student.logits is None:
            return {}
        counts, theirs = self._label_counts(student), None
        seen: dict[str, Any] = {"confusion": confusion(student.split, student.logits, self._data)}
        if teacher is not None and teacher.logits is not None:
            theirs = self._label_counts(teacher)
            seen["disagreements"] = disagreements(
                student.split,
                self._data,
                Texts(self._folder, name),
                teacher=(teacher.logits, teacher.thresholds),
                student=(student.logits, student.thresholds),
            )
        return seen | {"classes": [] if counts is None else class_scores(counts, theirs)}

    def _label_counts(self, answers: _Answers) -> LabelCounts | None:
        assert answers.logits is not None
        return label_counts(answers.split, answers.logits, self._data, thresholds=answers.thresholds)

    def _latencies(self) -> Iterator[MeasuredLatency]:
        models: dict[MeasuredName, EvaluatedModel | None] = {
            "teacher": self._teacher,
            "student": self._student,
        }
        for name, model in models.items():
            if model is None:
                continue
            for precision in model.exports:
                for size, runs_ms in model.runs_ms.get(precision, {}).items():
                    low, middle, high = np.quantile(runs_ms, [0.1, 0.5, 0.9]).tolist()
                    yield MeasuredLatency(
                        model=name,
                        precision=precision,
                        batch_size=size,
                        median_ms=middle,
                        p10_ms=low,
                        p90_ms=high,
                        runs=len(runs_ms),
                        threads=model.threads,
                    )


def _measured(value: float, drawn: Floats | None) -> Measured:
    found = None if drawn is None else interval(drawn)
    return Measured(value=value) if found is None else Measured(value=value, low=found.low, high=found.high)
