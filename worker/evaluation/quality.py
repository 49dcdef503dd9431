"""What a network is worth on a split, by the metrics of the task.

Shapes: P positions of a split, C outputs.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from app.domain.errors import JobError
from app.domain.tasks import Task
from worker.contracts import TaskData, TokenizedSplit
from worker.data.batches import collate, ordered_rows
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.metrics import MAIN_METRIC, METRICS, FloatArray
from worker.evaluation.translation import TorchTranslator, texts_of, translate, translation_metrics
from worker.networks.forward import forward

_BATCH_SIZE = 64

WORD_TASKS: Final[frozenset[Task]] = frozenset({"masked_language_modeling", "translation"})
"""Tasks whose predictions are distributions over the vocabulary."""


def dev_score(
    network: nn.Module, data: TaskData, *, device: torch.device, metric: str | None = None
) -> float:
    """The one number by which a training keeps its best step; higher is better.

    Of translation it is minus the loss of a word in nats: to write them all out takes many times as long.
    """
    if data.task == "translation":
        return -_word_metrics(network, data.dev, pad_id=data.pad_id, device=device)["loss"]
    return measure(network, data.dev, data, device=device)[metric or MAIN_METRIC[data.task]]


def measure(
    network: nn.Module, split: TokenizedSplit, data: TaskData, *, device: torch.device
) -> dict[str, float]:
    """Every metric of the task on a labelled split.

    Raises:
        JobError: ``training_diverged``, when the logits are not all numbers.
    """
    if data.task in WORD_TASKS:
        words = _word_metrics(network, split, pad_id=data.pad_id, device=device)
        return words if data.task != "translation" else {**_bleu(network, split, data), **words}
    logits = predict_logits(network, split, pad_id=data.pad_id, device=device)
    return quality(data.task, split, logits, labels=data.labels)


def main_metric(split: TokenizedSplit, logits: FloatArray, data: TaskData) -> float:
    """The task's main metric, from logits (P, C) at a split's positions."""
    if data.task == "masked_language_modeling":
        assert split.labels is not None
        return float(np.mean(logits.argmax(axis=1) == split.labels))
    return quality(data.task, split, logits, labels=data.labels)[MAIN_METRIC[data.task]]


def quality(task: Task, split: TokenizedSplit, logits: FloatArray, *, labels: list[str]) -> dict[str, float]:
    """Every metric of the task, from logits (P, C) at a split's positions.

    Raises:
        JobError: ``training_diverged``, when the logits are not all numbers.
    """
    if not np.isfinite(logits).all():
        broken = np.count_nonzero(~np.isfinite(logits).all(axis=1))
        raise diverged(f"{broken} of {len(logits)} predictions are infinite or NaN.")
    return METRICS[task](split, logits, labels)


@torch.inference_mode()
def _word_metrics(
    network: nn.Module, split: TokenizedSplit, *, pad_id: int, device: torch.device
) -> dict[str, float]:
    """Of masked words or next words, batch by batch: their logits together would not fit into memory."""
    total, hits, words = 0.0, 0, 0
    was_training = network.training
    network.eval()
    for rows in ordered_rows(split.sizes, batch_size=_BATCH_SIZE):
        batch = collate(split, rows, pad_id=pad_id, device=device)
        assert batch.labels is not None
        logits = forward(network, batch).logits
        total += float(functional.cross_entropy(logits, batch.labels, reduction="sum"))
        hits += int((logits.argmax(1) == batch.labels).sum())
        words += len(batch.labels)
    network.train(was_training)
    if not np.isfinite(total):
        raise diverged("Some predictions are infinite or NaN.")
    return {"accuracy": hits / words, "loss": total / words}


def _bleu(network: nn.Module, split: TokenizedSplit, data: TaskData) -> dict[str, float]:
    """Of what the network writes greedily."""
    assert isinstance(network, PreTrainedModel)
    was_training = network.training
    written = translate(TorchTranslator(network.eval()), split, pad_id=data.pad_id)
    network.train(was_training)
    return written_quality(written, split, data)


def written_quality(
    written: Sequence[Sequence[int]], split: TokenizedSplit, data: TaskData
) -> dict[str, float]:
    """BLEU and chrF of translations of a split's rows, in its order."""
    assert split.references is not None
    assert data.target_tokenizer is not None
    return translation_metrics(texts_of(written, data.target_tokenizer), split.references)


def diverged(what: str) -> JobError:
    """Of a training that ended in something else than numbers; ``what`` is a sentence."""
    advice = "Lower training.learning_rate or raise training.warmup_ratio."
    return JobError("training_diverged", f"{what} {advice}")
