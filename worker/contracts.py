"""What passes between the pipeline and a method: the seam at which methods are added."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from app.core.manifest import Task
from app.core.shapes import EncoderCard, Shape
from app.core.specs import MethodSpec, TrainingSpec

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Teacher:
    """A loaded model. ``network`` has a task head, except where a head is what the method makes."""

    network: PreTrainedModel
    tokenizer: Tokenizer
    card: EncoderCard
    digest: str
    """Names the weights and tokenizer in cache keys."""


@dataclass(frozen=True)
class TokenizedSplit:
    """Texts as token ids, laid end to end.

    ``ids`` is (total tokens,), ``offsets`` (rows + 1,), ``labels`` (rows,) or None. ``type_ids``, as long as
    ``ids``, is None where every token is of the first type or the network knows only one.
    """

    ids: npt.NDArray[np.int32]
    type_ids: npt.NDArray[np.int8] | None
    offsets: IntArray
    labels: IntArray | None
    digest: str
    """Names texts, tokenizer and truncation in cache keys."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        return np.diff(self.offsets)


@dataclass(frozen=True)
class TaskData:
    """A data set in the teacher's tokens. ``test`` is not here: a method cannot look at it."""

    task: Task
    train: TokenizedSplit
    dev: TokenizedSplit
    unlabeled: TokenizedSplit | None
    labels: list[str]
    pad_id: int


@dataclass(frozen=True)
class Student:
    """What a method hands over: a plain transformers network, in eval mode, nothing left to fold."""

    network: PreTrainedModel
    metrics: Mapping[str, float]
    """What the method measured on the way: best dev quality, steps, seconds a step."""


class RunContext(Protocol):
    """All that a method may touch of the outside."""

    @property
    def device(self) -> torch.device: ...

    @property
    def cache_dir(self) -> Path:
        """Shared by jobs: teacher outputs live here."""

    @property
    def training(self) -> TrainingSpec: ...

    @property
    def shape(self) -> Shape:
        """The planned shape of the student."""

    def load_model(self, model_id: str) -> PreTrainedModel:
        """Another registered model that the spec names."""

    def report(self, stage: str, step: int, total_steps: int, **metrics: float) -> None:
        """Say how far the method is; cheap enough for every step."""

    def checkpoint_due(self) -> bool:
        """Whether enough time has passed to be worth a checkpoint."""

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Keep a tree of tensors, numbers, strings and lists, replacing the one before."""

    def load_checkpoint(self) -> dict[str, Any] | None:
        """What an earlier attempt at this job left, if anything."""

    def check_cancelled(self) -> None:
        """Raise ``JobCancelled`` once the client has asked to stop."""


class CompressionMethod(Protocol):
    """One way to make a student."""

    def compress(
        self, teacher: Teacher, data: TaskData, spec: MethodSpec, context: RunContext
    ) -> Student: ...
