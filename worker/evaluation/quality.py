"""What a network is worth on a split, by the metrics of the task.

Shapes: P positions of a split, C outputs.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from app.domain.errors import JobError
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import Activation
from worker.contracts import FloatArray, IntArray, TaskData, TokenizedSplit
from worker.data.batches import collate, ordered_rows
from worker.evaluation.bootstrap import RowMetric, mean_of
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.translation import TorchTranslator, bleu_of, texts_of, translate, translation_metrics
from worker.networks.forward import forward
from worker.tasks import IMPLEMENTATIONS, implementation_of
from worker.tasks.implementation import Thresholds

_BATCH_SIZE = 64


def dev_score(
    network: nn.Module, data: TaskData, *, device: torch.device, metric: str | None = None
) -> float:
    """The one number by which a training keeps its best step; higher is better.

    Of translation it is minus the loss of a word in nats: to write them all out takes many times as long.
    """
    record = TASKS[data.task]
    if record.selects_by_loss:
        return -_word_metrics(network, data.dev, pad_id=data.pad_id, device=device)[0]["loss"]
    return measure(network, data.dev, data, device=device)[metric or record.main_metric]


def measure(
    network: nn.Module,
    split: TokenizedSplit,
    data: TaskData,
    *,
    device: torch.device,
    thresholds: Thresholds | None = None,
    on_rows: Callable[[RowMetric], None] = lambda _: None,
) -> dict[str, float]:
    """Every metric of the task on a labelled split.

    Args:
        network: measured.
        split: on this.
        data: whose task it is.
        device: of the network.
        thresholds: of the labels, see ``chosen_thresholds``; None: those that are best on the split itself.
        on_rows: is told how the main metric depends on the rows, of answers as wide as the vocabulary.

    Raises:
        JobError: ``training_diverged``, when the logits are not all numbers.
    """
    record = TASKS[data.task]
    if record.answers_in_tokens:
        words, hits = _word_metrics(network, split, pad_id=data.pad_id, device=device)
        if record.writes:
            written = _written(network, split, data)
            on_rows(bleu_of(texts_of(written, _writer(data)), split.references or []))
            return {**written_quality(written, split, data), **words}
        on_rows(mean_of(hits, np.diff(split.position_offsets)))
        return words
    logits = predict_logits(network, split, pad_id=data.pad_id, device=device)
    return quality(
        data.task, split, logits, labels=data.labels, thresholds=thresholds, activation=data.activation
    )


def chosen_thresholds(task: Task, split: TokenizedSplit, logits: FloatArray) -> Thresholds:
    """Those of the labels that are best for logits (P, C) at a split's positions.

    None for a task that decides no label by itself.

    Raises:
        JobError: ``training_diverged``, when the logits are not all numbers.
    """
    choose = IMPLEMENTATIONS[task].thresholds
    if choose is None:
        return ()
    _require_finite(logits)
    return choose(split, logits)


def main_metric(
    split: TokenizedSplit, logits: FloatArray, data: TaskData, *, thresholds: Thresholds | None = None
) -> float:
    """The task's main metric, from logits (P, C) at a split's positions."""
    found = quality(
        data.task, split, logits, labels=data.labels, thresholds=thresholds, activation=data.activation
    )
    return found[TASKS[data.task].main_metric]


def quality(
    task: Task,
    split: TokenizedSplit,
    logits: FloatArray,
    *,
    labels: list[str],
    thresholds: Thresholds | None = None,
    activation: Activation | None = None,
) -> dict[str, float]:
    """Every metric of the task, from logits (P, C) at a split's positions, before any activation.

    Raises:
        JobError: ``training_diverged``, when the logits are not all numbers.
    """
    _require_finite(logits)
    implementation = implementation_of(task, activation)
    assert implementation.metrics is not None
    if thresholds is None:
        thresholds = chosen_thresholds(task, split, logits)
    return implementation.metrics(split, logits, labels, thresholds)


def trivial_baseline(task: Task, split: TokenizedSplit) -> float:
    """The main metric of the task's trivial answer."""
    return IMPLEMENTATIONS[task].baseline(split)


def _require_finite(logits: FloatArray) -> None:
    if not np.isfinite(logits).all():
        broken = np.count_nonzero(~np.isfinite(logits).all(axis=1))
        raise diverged(f"{broken} of {len(logits)} predictions are infinite or NaN.")


@torch.inference_mode()
def _word_metrics(
    network: nn.Module, split: TokenizedSplit, *, pad_id: int, device: torch.device
) -> tuple[dict[str, float], IntArray]:
    """Of masked words or next words, batch by batch: their logits together would not fit into memory.

    Returns:
        the metrics, and how many words of each row are right.
    """
    total, words = 0.0, 0
    counts, hits = np.diff(split.position_offsets), np.zeros(len(split), np.int64)
    was_training = network.training
    network.eval()
    for rows in ordered_rows(split.sizes, batch_size=_BATCH_SIZE):
        batch = collate(split, rows, pad_id=pad_id, device=device)
        assert batch.labels is not None
        logits = forward(network, batch).logits
        total += float(functional.cross_entropy(logits, batch.labels, reduction="sum"))
        is_right = (logits.argmax(1) == batch.labels).cpu().numpy()
        hits += np.bincount(np.repeat(rows, counts[rows]), weights=is_right, minlength=len(split)).astype(
            np.int64
        )
        words += len(batch.labels)
    network.train(was_training)
    if not np.isfinite(total):
        raise diverged("Some predictions are infinite or NaN.")
    return {"accuracy": int(hits.sum()) / words, "loss": total / words}, hits


def _written(network: nn.Module, split: TokenizedSplit, data: TaskData) -> list[list[int]]:
    """What the network writes greedily."""
    assert isinstance(network, PreTrainedModel)
    was_training = network.training
    written = translate(TorchTranslator(network.eval()), split, pad_id=data.pad_id)
    network.train(was_training)
    return written


def written_quality(
    written: Sequence[Sequence[int]], split: TokenizedSplit, data: TaskData
) -> dict[str, float]:
    """BLEU and chrF of translations of a split's rows, in its order."""
    assert split.references is not None
    return translation_metrics(texts_of(written, _writer(data)), split.references)


def _writer(data: TaskData) -> Tokenizer:
    assert data.target_tokenizer is not None
    return data.target_tokenizer


def diverged(what: str) -> JobError:
    """Of a training that ended in something else than numbers; ``what`` is a sentence."""
    advice = "Lower training.learning_rate or raise training.warmup_ratio."
    return JobError("training_diverged", f"{what} {advice}")
