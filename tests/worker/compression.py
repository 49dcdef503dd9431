"""A trained tiny teacher, its data, and a context in memory, for tests of methods and of training."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from app.domain.architectures import AnyShape, Architecture, EncoderArchitecture, EncoderShape
from app.domain.documents import TrainingSpec
from app.domain.documents.manifest import Files, ModelManifest
from app.domain.errors import JobCancelled
from app.domain.tasks import Head, Task
from tests.families import FAMILY_ROWS
from tests.tiny import (
    LABELS,
    PLEASANT,
    UNPLEASANT,
    tiny_config,
    tiny_examples,
    tiny_questions,
    tiny_tokenizer,
)
from worker.contracts import ModelTokenizers, Replica, TaskData, Teacher, TokenizedSplit
from worker.data.tokenization import masked, tokenize, tokenize_maskable, tokenize_words
from worker.networks.loading import build_network, load_network, save_network, with_labels
from worker.networks.pooled import pooling_of
from worker.tasks.reading import encode_columns

TEACHER_SHAPE = EncoderShape(layers=4, hidden=32, heads=4, ffn=64)
STUDENT_SHAPE = EncoderShape(layers=2, hidden=16, heads=2, ffn=24)

DIMENSIONS = TEACHER_SHAPE.hidden
"""Of vectors of texts."""

TAGS = ["O", "B-bad", "I-bad", "B-good", "I-good"]
QUALITIES = ["bad", "good", "long"]
TASK_LABELS: dict[Task, list[str]] = {
    "text_classification": LABELS,
    "multi_label_classification": QUALITIES,
    "text_regression": [],
    "token_classification": TAGS,
    "masked_language_modeling": [],
    "question_answering": [],
    "sentence_embedding": [],
}


class Interrupted(Exception):
    """Stands for a killed process."""


class MemoryContext:
    """What a method sees of the outside, kept in memory."""

    def __init__(
        self,
        folder: Path,
        *,
        shape: EncoderShape = STUDENT_SHAPE,
        architecture: Architecture | None = None,
        checkpoint_every: int | None = None,
        interrupt_at: int | None = None,
        cancel_at: int | None = None,
        models: Mapping[str, PreTrainedModel] | None = None,
        replica: Replica | None = None,
        **training: Any,
    ) -> None:
        self.device = torch.device("cpu")
        self.replica = replica or Replica()
        self.cache_dir = folder / "cache"
        self.architecture: Architecture = architecture or encoder_card(shape=shape)
        defaults = {"epochs": 2, "batch_size": 32, "max_length": 32, "evaluations": 3, "learning_rate": 2e-3}
        self.training = TrainingSpec(**(defaults | training))
        self.reports: list[tuple[str, int, int, dict[str, float]]] = []
        self.checkpoint: dict[str, Any] | None = None
        self._checkpoint_every, self._interrupt_at, self._cancel_at = (
            checkpoint_every,
            interrupt_at,
            cancel_at,
        )
        self._models = models or {}
        self._steps = 0

    @property
    def shape(self) -> AnyShape:
        return self.architecture.shape

    def load_model(self, role: str) -> PreTrainedModel:
        return self._models[role]

    def report(self, stage: str, step: int, total_steps: int, **metrics: float) -> None:
        self.reports.append((stage, step, total_steps, metrics))

    def checkpoint_due(self) -> bool:
        self._steps += 1
        if self._interrupt_at is not None and self._steps > self._interrupt_at:
            raise Interrupted
        return self._checkpoint_every is not None and self._steps % self._checkpoint_every == 0

    def save_checkpoint(self, state: Mapping[str, Any], *, step: int) -> None:
        self.checkpoint = _copied(state)

    def load_checkpoint(self) -> dict[str, Any] | None:
        return self.checkpoint

    def check_cancelled(self) -> None:
        if self._cancel_at is not None and self._steps >= self._cancel_at:
            raise JobCancelled


def _copied(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    return state.clone() if isinstance(state, torch.Tensor) else state


def encoder_card(family: str = "bert", *, shape: EncoderShape = STUDENT_SHAPE) -> EncoderArchitecture:
    """Of networks on the tiny tokenizer, as ``tiny_model_folder`` makes them."""
    row = FAMILY_ROWS[family]
    return EncoderArchitecture(
        family=family,
        shape=shape,
        vocabulary=tiny_tokenizer().get_vocab_size(),
        positions=64,
        token_types=row.token_types,
        details=row.details,
    )


def make_teacher(
    family: str = "bert", shape: EncoderShape = TEACHER_SHAPE, task: Task = "text_classification"
) -> Teacher:
    """A random teacher whose every part has a say: biases and norms are not at their defaults."""
    return Teacher(
        network=deepcopy(_teacher_network(family, shape, task)),
        tokenizer=tiny_tokenizer(),
        architecture=encoder_card(family, shape=shape),
        digest=f"{family}{shape}{task}",
    )


@cache
def _teacher_network(family: str, shape: EncoderShape, task: Task) -> torch.nn.Module:
    """Built once: nearly every test of a method starts from one."""
    labels, architecture = TASK_LABELS[task], encoder_card(family, shape=shape)
    sizes = shape.model_dump(exclude_none=True)
    config = tiny_config(
        family, sizes | {"embedding": shape.embedding or shape.hidden}, vocabulary=architecture.vocabulary
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        head = Head.of(task, labels=len(labels), vocabulary=architecture.vocabulary, dimensions=DIMENSIONS)
        network = build_network(with_labels(config, head, labels), architecture, head)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def make_data(task: Task = "text_classification", *, train: int = 256, dev: int = 64) -> TaskData:
    tokenizer = tiny_tokenizer()
    mask_id, vocabulary = tokenizer.token_to_id("[MASK]"), tokenizer.get_vocab_size()
    dev_split = _split(task, dev, seed=1)
    if task == "masked_language_modeling":
        dev_split = masked(dev_split, mask_id=mask_id, vocabulary=vocabulary, seed=0)
    return TaskData(
        task=task,
        train=_split(task, train, seed=0),
        dev=dev_split,
        unlabeled=None,
        labels=TASK_LABELS[task],
        pad_id=0,
        vocabulary=vocabulary,
        mask_id=mask_id,
        dimensions=DIMENSIONS if task == "sentence_embedding" else 0,
    )


def _split(task: Task, rows: int, *, seed: int) -> TokenizedSplit:
    """Texts of pleasant and unpleasant words: their majority, their balance, themselves, or any word."""
    if task == "question_answering":
        return tokenized_questions(tiny_questions(rows, seed=seed))
    examples = tiny_examples(rows, seed=seed)
    texts = [example["text"] for example in examples]
    encode: dict[str, Any] = {"tokenizer": tiny_tokenizer(), "max_length": 32}
    match task:
        case "text_classification":
            labels = [LABELS.index(example["label"]) for example in examples]
            return tokenize(texts, labels=labels, **encode)
        case "multi_label_classification":
            return tokenize(
                texts, labels=np.array([_qualities(text) for text in texts], np.float32), **encode
            )
        case "text_regression":
            return tokenize(texts, labels=[_balance(text) for text in texts], **encode)
        case "token_classification":
            tags = [[TAGS.index(_tag(word)) for word in text.split()] for text in texts]
            return tokenize_words([text.split() for text in texts], tags, **encode)
        case "masked_language_modeling":
            return tokenize_maskable(texts, **encode)
        case "sentence_embedding":
            return _pairs(texts)
    raise ValueError(task)


def tokenized_questions(rows: Sequence[Mapping[str, Any]], *, max_length: int = 32) -> TokenizedSplit:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    tokenizer = tiny_tokenizer()
    tokenizers = ModelTokenizers(tokenizer, tokenizer, vocabulary=tokenizer.get_vocab_size(), token_types=0)
    return encode_columns("question_answering", columns, tokenizers=tokenizers, max_length=max_length)


def _pairs(texts: list[str]) -> TokenizedSplit:
    """Each text beside the next one, with a score and a vector that say how pleasant it is."""
    split = tokenize(texts, tokenizer=tiny_tokenizer(), max_length=32)
    balances = np.array([_balance(text) for text in texts], np.float32)
    directions = np.random.default_rng(0).standard_normal((2, DIMENSIONS)).astype(np.float32)
    return replace(
        split,
        groups=np.arange(len(texts)) // 2,
        labels=np.repeat(-np.abs(balances[::2] - balances[1::2]), 2),
        teacher_vectors=directions[0] + balances[:, None] * directions[1],
    )


def _qualities(text: str) -> list[bool]:
    """Which of ``QUALITIES`` a text has."""
    words = text.split()
    return [
        any(word in UNPLEASANT for word in words),
        any(word in PLEASANT for word in words),
        len(words) > 9,
    ]


def _balance(text: str) -> float:
    return sum((word in PLEASANT) - (word in UNPLEASANT) for word in text.split()) / 2


def _tag(word: str) -> str:
    return "B-good" if word in PLEASANT else "B-bad" if word in UNPLEASANT else "O"


def encoded(
    task: Task, columns: Mapping[str, list[Any]], teacher: Teacher, *, max_length: int
) -> TokenizedSplit:
    """A split in a teacher's tokens, beside what it was before the teacher's vocabulary was trimmed."""
    encode = partial(encode_columns, task, dict(columns), max_length=max_length)
    whole = teacher.untrimmed
    untrimmed = None if whole is None else encode(tokenizers=whole.tokenizers)
    return encode(tokenizers=teacher.tokenizers, untrimmed=untrimmed)


def saved_and_loaded(
    network: PreTrainedModel, architecture: Architecture, data: TaskData, folder: Path
) -> PreTrainedModel:
    """The network as the next job gets it."""
    save_network(network, folder)
    manifest = ModelManifest(
        files=Files(prefix="", entries={}),
        architecture=architecture,
        task=data.task,
        labels=data.labels or None,
        pooling=pooling_of(network.config) if data.task == "sentence_embedding" else None,
        parameters=network.num_parameters(),
        max_length=32,
    )
    return load_network(folder, manifest, task=data.task, labels=data.labels)


def same_weights(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
