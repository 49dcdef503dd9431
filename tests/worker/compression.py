"""A trained tiny teacher, its data, and a context in memory, for tests of methods and of training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from app.core.errors import JobCancelled
from app.core.shapes import EncoderCard, Shape
from app.core.specs import TrainingSpec
from tests.tiny import LABELS, tiny_examples, tiny_model_folder, tiny_tokenizer
from worker.contracts import TaskData, Teacher, TokenizedSplit
from worker.data import tokenize
from worker.modeling.anatomy import ANATOMIES

TEACHER_SHAPE = Shape(layers=4, hidden=32, heads=4, ffn=64)
STUDENT_SHAPE = Shape(layers=2, hidden=16, heads=2, ffn=24)


class Interrupted(Exception):
    """Stands for a killed process."""


class MemoryContext:
    """What a method sees of the outside, kept in memory."""

    def __init__(
        self,
        folder: Path,
        *,
        shape: Shape = STUDENT_SHAPE,
        checkpoint_every: int | None = None,
        interrupt_at: int | None = None,
        cancel_at: int | None = None,
        models: Mapping[str, PreTrainedModel] | None = None,
        **training: Any,
    ) -> None:
        self.device = torch.device("cpu")
        self.cache_dir = folder / "cache"
        self.shape = shape
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

    def load_model(self, model_id: str) -> PreTrainedModel:
        return self._models[model_id]

    def report(self, stage: str, step: int, total_steps: int, **metrics: float) -> None:
        self.reports.append((stage, step, total_steps, metrics))

    def checkpoint_due(self) -> bool:
        self._steps += 1
        if self._interrupt_at is not None and self._steps > self._interrupt_at:
            raise Interrupted
        return self._checkpoint_every is not None and self._steps % self._checkpoint_every == 0

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
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


def make_teacher(folder: Path, architecture: str = "bert", shape: Shape = TEACHER_SHAPE) -> Teacher:
    """A random teacher whose every part has a say: biases and norms are not at their defaults."""
    tiny_model_folder(folder, labels=LABELS, architecture=architecture, **shape.model_dump())
    network = ANATOMIES[architecture].network.from_pretrained(folder).eval()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    config = network.config
    card = EncoderCard(
        architecture=architecture,
        shape=shape,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        token_types=getattr(config, "type_vocab_size", 0),
    )
    return Teacher(network=network, tokenizer=tiny_tokenizer(), card=card, digest=f"{architecture}{shape}")


def make_data(*, train: int = 256, dev: int = 64) -> TaskData:
    return TaskData(
        task="text_classification",
        train=_split(train, seed=0),
        dev=_split(dev, seed=1),
        unlabeled=None,
        labels=LABELS,
        pad_id=0,
    )


def _split(rows: int, *, seed: int) -> TokenizedSplit:
    examples = tiny_examples(rows, seed=seed)
    tokenizer: Tokenizer = tiny_tokenizer()
    return tokenize(
        [example["text"] for example in examples],
        labels=[LABELS.index(example["label"]) for example in examples],
        tokenizer=tokenizer,
        max_length=32,
    )


def same_weights(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
