"""Teacher and student side by side on one data set."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from app.domain.architectures import Architecture
from app.domain.documents import Precision
from app.domain.documents.manifest import OnnxExport
from app.domain.documents.report import JobReport, ModelReport, Quality, ScoresReport
from app.domain.tasks import TASKS, Head
from app.engine.threads import threads_per_run
from worker.contracts import FloatArray, IntArray, TaskData, TokenizedSplit
from worker.data.batches import subset
from worker.evaluation.bootstrap import RowMetric
from worker.evaluation.calm import watching_calm
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedModel, ExportedTranslator
from worker.evaluation.latency import measure_latency
from worker.evaluation.quality import chosen_thresholds, main_metric, measure, quality, trivial_baseline
from worker.evaluation.report import compare_models
from worker.export.exports import compare_exports, open_export, sampled_rows, written_metric
from worker.tasks.implementation import Thresholds
from worker.tasks.teacher_scores import chosen, is_complete


@dataclass
class EvaluatedModel:
    """A model, and what has been measured of it so far."""

    network: PreTrainedModel
    architecture: Architecture
    head: Head
    quality: Quality = field(default_factory=dict)
    agreement: Quality = field(default_factory=dict)
    """With teachers' scores, in place of the labels."""
    paths: dict[Precision, Path] = field(default_factory=dict)
    """Its ONNX files."""
    opened: dict[Precision, ExportedModel] = field(default_factory=dict)
    """These files in the sessions that would serve them; to open one takes as long as many runs."""
    exports: dict[Precision, OnnxExport] = field(default_factory=dict)
    thresholds: Thresholds = ()
    """Of the labels, chosen on dev."""
    logits: dict[str, FloatArray] = field(default_factory=dict)
    """By split, (P, C); none of answers that are as wide as the vocabulary."""
    file_logits: dict[tuple[Precision, str], FloatArray] = field(default_factory=dict)
    """Likewise of its ONNX files, on the rows that ``Evaluator.sample`` has of the split."""
    row_metrics: dict[str, RowMetric] = field(default_factory=dict)
    """How the main metric depends on the rows of a split, of answers that are as wide as the vocabulary."""
    runs_ms: dict[Precision, dict[int, Sequence[float]]] = field(default_factory=dict)
    """Milliseconds of each timed run of a file, by batch size."""

    @property
    def dev(self) -> Mapping[str, float]:
        """Quality on dev; agreement where dev has no labels of its own."""
        return self.quality.get("dev") or self.agreement["dev"]

    @property
    def threads(self) -> int:
        """Of a run of its files, were it served by this machine."""
        return threads_per_run(self.architecture, self.head)


class Evaluator:
    """The measurements that every model of a job goes through, and the report of them."""

    def __init__(
        self,
        *,
        data: TaskData,
        test: TokenizedSplit | None,
        device: torch.device,
        by_teacher: Collection[str] = (),
    ) -> None:
        """``by_teacher`` names splits in which choices of teachers stand for the labels."""
        self.by_teacher = by_teacher
        self._data = data
        self._device = device
        self.metric = TASKS[data.task].main_metric
        self.trivial_answer = TASKS[data.task].trivial_answer
        """What ``trivial_baseline`` is measured of."""
        self.tells_apart = data.dev.labels is None or len(np.unique(data.dev.labels, axis=0)) > 1
        """Whether dev has several labels, so that a trained network differs from the baseline."""
        self.splits = {"dev": data.dev} | ({} if test is None else {"test": test})
        self.trivial_baseline = {
            name: trivial_baseline(data.task, split) for name, split in self.splits.items()
        }

    def candidate(self, network: PreTrainedModel, architecture: Architecture) -> EvaluatedModel:
        """A model that has learnt these data's task."""
        return EvaluatedModel(network, architecture, self._data.head)

    def has_learnt(self, quality: Mapping[str, float]) -> bool:
        """Whether a model with this quality on dev knows more than a constant answer.

        Where one label is nearly all of dev, it may know a lot and still be no more accurate than that.
        """
        reached = quality.get(self.metric, math.nan)
        return reached > self.trivial_baseline["dev"] or quality.get("matthews", 0.0) > 0

    def measure_dev(self, candidate: EvaluatedModel) -> None:
        self._answer(candidate, "dev", self.splits["dev"])
        if "dev" in candidate.logits:
            candidate.thresholds = chosen_thresholds(self._data.task, self._data.dev, candidate.logits["dev"])
        self._measure(candidate, "dev")

    def look_at_test(self, candidate: EvaluatedModel) -> None:
        """Once a model and its files, when nothing can be changed any more."""
        if "test" not in self.splits:
            return
        self._answer(candidate, "test", self.splits["test"])
        self._measure(candidate, "test")
        for precision in candidate.paths:
            export = candidate.exports[precision]
            metric = self._file_metric(candidate, precision, "test")
            candidate.exports[precision] = export.model_copy(update={"test_metric": metric})

    def compare_exports(self, candidate: EvaluatedModel) -> None:
        """Open the ONNX files and hold them against the network, which comes to the CPU for it."""
        network = candidate.network.cpu()
        candidate.opened = {
            precision: open_export(path, network, threads=candidate.threads)
            for precision, path in candidate.paths.items()
        }
        candidate.exports = compare_exports(
            network,
            candidate.paths,
            self._data,
            opened=candidate.opened,
            thresholds=candidate.thresholds,
            on_logits=lambda precision, logits: self._keep(candidate, precision, "dev", logits),
        )

    def sample(self, name: str) -> IntArray:
        """The rows of a split on which files are measured: the same for teacher and student."""
        return sampled_rows(self.splits[name], TASKS[self._data.task])

    def cascade_logits(
        self, candidate: EvaluatedModel, precision: Precision
    ) -> tuple[TokenizedSplit, FloatArray]:
        """A file's logits on dev, or on a sample of it that is the same for teacher and student."""
        sample = subset(self._data.dev, self.sample("dev"))
        return sample, candidate.file_logits[precision, "dev"]

    def measure_latency(self, candidate: EvaluatedModel) -> None:
        for precision in candidate.paths:
            with watching_calm(candidate.threads) as calm:
                runs_ms = candidate.runs_ms.setdefault(precision, {})
                latency_ms = measure_latency(
                    candidate.opened[precision],
                    self._data.dev,
                    pad_id=self._data.pad_id,
                    on_runs=runs_ms.__setitem__,
                )
            found = {"latency_ms": latency_ms, "calm": calm.is_calm, "calm_reason": calm.reason}
            export = candidate.exports[precision]
            candidate.exports[precision] = export.model_copy(update=found)

    def report(
        self,
        teacher: EvaluatedModel | None,
        student: EvaluatedModel,
        *,
        method: Mapping[str, float],
        seconds: Mapping[str, float],
        teacher_scores: ScoresReport | None = None,
    ) -> JobReport:
        """Everything measured; ``seconds`` is the wall-clock of each stage."""
        report_t = None if teacher is None else self._model_report(teacher)
        report_s = self._model_report(student)
        return JobReport(
            metric=self.metric,
            trivial_baseline=self.trivial_baseline,
            teacher=report_t,
            teacher_scores=teacher_scores,
            student=report_s,
            ratios=None if report_t is None else compare_models(report_t, report_s, metric=self.metric),
            method=dict(method),
            seconds=dict(seconds),
        )

    def scores_quality(self) -> Quality:
        """Of teachers' scores, where a split has them in all rows beside labels of its own."""
        return {
            name: quality(
                self._data.task,
                split,
                split.scores,
                labels=self._data.labels,
                activation=self._data.activation,
            )
            for name, split in self.splits.items()
            if name not in self.by_teacher and split.scores is not None and is_complete(split.scores)
        }

    def _answer(self, candidate: EvaluatedModel, name: str, split: TokenizedSplit) -> None:
        if not TASKS[self._data.task].answers_in_tokens:
            network = candidate.network.to(self._device)
            candidate.logits[name] = predict_logits(
                network, split, pad_id=self._data.pad_id, device=self._device
            )

    def _measure(self, candidate: EvaluatedModel, name: str) -> None:
        split = self.splits[name]
        found = self._quality(candidate, name, split)
        if name in self.by_teacher:
            candidate.agreement[name] = found
            return
        candidate.quality[name] = found
        if TASKS[self._data.task].answers_in_vectors:
            return  # whose metrics compare with the teacher's already
        if split.scores is not None and is_complete(split.scores):
            choices = replace(split, labels=chosen(split.scores, self._data.task, self._data.activation))
            candidate.agreement[name] = self._quality(candidate, name, choices)

    def _quality(self, candidate: EvaluatedModel, name: str, split: TokenizedSplit) -> dict[str, float]:
        if name not in candidate.logits:
            return measure(
                candidate.network.to(self._device),
                split,
                self._data,
                device=self._device,
                on_rows=lambda metric: candidate.row_metrics.update({name: metric}),
            )
        return quality(
            self._data.task,
            split,
            candidate.logits[name],
            labels=self._data.labels,
            thresholds=candidate.thresholds,
            activation=self._data.activation,
        )

    def _keep(self, candidate: EvaluatedModel, precision: Precision, name: str, logits: FloatArray) -> None:
        if name in candidate.logits:
            candidate.file_logits[precision, name] = logits

    def _file_metric(self, candidate: EvaluatedModel, precision: Precision, name: str) -> float:
        opened, split = candidate.opened[precision], self.splits[name]
        if isinstance(opened, ExportedTranslator):
            return written_metric(opened, split, self._data)
        sample = subset(split, self.sample(name))
        logits = opened.logits(sample, pad_id=self._data.pad_id)
        self._keep(candidate, precision, name, logits)
        return main_metric(sample, logits, self._data, thresholds=candidate.thresholds)

    def _model_report(self, candidate: EvaluatedModel) -> ModelReport:
        return ModelReport.of(
            candidate.architecture,
            head=candidate.head,
            quality=candidate.quality,
            agreement=candidate.agreement,
            exports=candidate.exports,
        )
