"""What passes between the pipeline and a method: the seam at which methods are added."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from app.domain.architectures import AnyShape, Architecture
from app.domain.documents import TrainingSpec
from app.domain.methods import Spec
from app.domain.tasks import Head, Task
from app.domain.tasks.record import Activation

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.int64] | npt.NDArray[np.float32]
"""What a network should say: an index into its outputs for each position, or numbers for each text."""

IGNORE_INDEX = -100
"""Marks positions without a label, which the loss ignores. A missing number is NaN."""


@dataclass(frozen=True)
class ModelTokenizers:
    """How a model reads texts and, where it translates, writes them."""

    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    """Of what is written: the same as the source's, unless a translation model has two."""
    vocabulary: int
    """Tokens; one that translates writes them as well."""
    token_types: int
    """More than one where the network tells the texts of a pair apart."""


@dataclass(frozen=True)
class Teacher:
    """A loaded model. ``network`` has a task head, except where a head is what the method makes."""

    network: PreTrainedModel
    tokenizer: Tokenizer
    architecture: Architecture
    digest: str
    """Names the weights and tokenizer in cache keys."""
    target_tokenizer: Tokenizer | None = None
    """Of a translation model that writes other tokens than it reads; None: the same."""
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    """What stands beside its ``tokenizer.json``; may be empty."""
    has_new_head: bool = False
    """Whether its head was initialised for this job: the model had none for this task."""
    is_untrained: bool = False
    """Whether all of it was: the job has no teacher, and this says what its student reads and looks like."""
    untrimmed: "Teacher | None" = None
    """Itself with all its words, where its vocabulary was trimmed."""

    @property
    def tokenizers(self) -> ModelTokenizers:
        return ModelTokenizers(
            source_tokenizer=self.tokenizer,
            target_tokenizer=self.target_tokenizer or self.tokenizer,
            vocabulary=self.architecture.vocabulary,
            token_types=self.architecture.token_types,
        )


@dataclass(frozen=True)
class AskedContexts:
    """Questions on contexts, of which the rows of a split are windows."""

    contexts: list[str]
    answers: list[list[str]] | None
    """The right ones to each question, none where its context has none; None where they are not known."""
    rows: IntArray
    """(rows,): the question of each row."""
    spans: IntArray
    """(positions, 2): where in the context each position begins and ends."""


@dataclass(frozen=True)
class TokenizedSplit:
    """Texts as token ids, laid end to end.

    A network predicts at positions: once per text, unless ``positions`` marks tokens (the first tokens of
    words, masked words), or there are ``targets``, whose every token it is to write.

    ``ids`` is (total tokens,), ``offsets`` (rows + 1,). ``type_ids``, as long as ``ids``, is None where every
    token is of the first type or the network knows only one.
    """

    ids: npt.NDArray[np.int32]
    type_ids: npt.NDArray[np.int8] | None
    offsets: IntArray
    labels: LabelArray | None
    """(positions,), or (positions, outputs) where each output is decided by itself, or is about positions.

    IGNORE_INDEX or NaN where a row has none; None where no row has one, and where there are ``targets``."""
    digest: str
    """Names texts, tokenizer and truncation in cache keys."""
    positions: BoolArray | None = None
    """(total tokens,); None if the network predicts once per text, or generates text."""
    targets: "TokenizedSplit | None" = None
    """Target tokens of each row, including the end of sentence; for translation only."""
    references: list[str] | None = None
    """(rows,): the texts of ``targets`` as they came, for what is written to be compared with."""
    languages: list[str] | None = None
    """(rows,), where the data set names them."""
    scores: FloatArray | None = None
    """(positions, outputs): logits that teachers of another kind give, NaN in rows of which they say nothing;
    None where they do of all, and where they write texts."""
    written: "TokenizedSplit | None" = None
    """Target tokens that such a teacher wrote; a row of which it says nothing has no token."""
    questions: AskedContexts | None = None
    """What rows are windows of; for question answering only."""
    cut: int = 0
    """Number of truncated rows."""
    untrimmed: "TokenizedSplit | None" = None
    """The same rows in the tokens of a teacher before its vocabulary was trimmed."""
    groups: IntArray | None = None
    """(rows,): texts of a pair have the same number, the first of them first; None where texts are alone."""
    teacher_vectors: FloatArray | None = None
    """(rows, dimensions): what the teacher answers; students that answer with vectors are measured by it."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        return np.diff(self.offsets)

    @property
    def sizes(self) -> IntArray:
        """Tokens to read and to write, (rows,): batches of nearly equal ones pad least."""
        return self.lengths if self.targets is None else self.lengths + self.targets.lengths

    @property
    def position_offsets(self) -> IntArray:
        """(rows + 1,): where the positions of each row begin, all rows' positions laid end to end."""
        if self.targets is not None:
            return self.targets.offsets
        if self.positions is None:
            return np.arange(len(self) + 1)
        return np.concatenate([[0], np.cumsum(self.positions)])[self.offsets].astype(np.int64)


@dataclass(frozen=True)
class TaskData:
    """A data set in the teacher's tokens. ``test`` is not here: a method cannot look at it."""

    task: Task
    train: TokenizedSplit
    dev: TokenizedSplit
    unlabeled: TokenizedSplit | None
    labels: list[str]
    """Label names; empty for tasks without labels."""
    pad_id: int
    vocabulary: int
    """Of the tokens; one that translates writes them as well."""
    mask_id: int | None = None
    """Of the token that hides a word; only a task that masks inputs needs it."""
    target_tokenizer: Tokenizer | None = None
    """Makes texts of what is written; only a task that writes needs it."""
    activation: Activation | None = None
    """What a network's one output goes through; the scores are then from 0 to 1."""
    dimensions: int = 0
    """Of the vectors that a network answers with; 0 for tasks with other answers."""

    @property
    def head(self) -> Head:
        return Head.of(
            self.task, labels=len(self.labels), vocabulary=self.vocabulary, dimensions=self.dimensions
        )

    @property
    def splits(self) -> dict[str, TokenizedSplit]:
        """By name, those that there are."""
        found = {"train": self.train, "dev": self.dev, "unlabeled": self.unlabeled}
        return {name: split for name, split in found.items() if split is not None}


@dataclass(frozen=True)
class Student:
    """What a method hands over: a plain network, in eval mode, nothing left to fold."""

    network: PreTrainedModel
    metrics: Mapping[str, float]
    """What the method measured on the way: best dev quality, steps, seconds a step."""


@dataclass(frozen=True)
class Replica:
    """Which this process is of those that train one student together, each on its own part of a step's rows.

    Only the main one reports, evaluates and saves checkpoints.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0


class RunContext(Protocol):
    """All that a method may touch of the outside."""

    @property
    def device(self) -> torch.device: ...

    @property
    def replica(self) -> Replica: ...

    @property
    def cache_dir(self) -> Path:
        """Shared by jobs: teacher outputs live here."""

    @property
    def training(self) -> TrainingSpec: ...

    @property
    def architecture(self) -> Architecture:
        """The planned student."""

    @property
    def shape(self) -> AnyShape:
        """The planned student's shape."""

    def load_model(self, role: str) -> PreTrainedModel:
        """Another registered model, by its role among the inputs that the spec names."""

    def report(self, stage: str, step: int, total_steps: int, **metrics: float) -> None:
        """Say how far the method is; cheap enough for every step."""

    def checkpoint_due(self) -> bool:
        """Whether enough time has passed to be worth a checkpoint, or the job is to go on elsewhere."""

    def save_checkpoint(self, state: Mapping[str, Any], *, step: int) -> None:
        """Keep a tree of tensors, numbers, strings and lists, as it is after a training step."""

    def load_checkpoint(self) -> dict[str, Any] | None:
        """What an earlier attempt at this job left, if anything."""

    def check_cancelled(self) -> None:
        """Raise ``JobCancelled`` once the process is to stop; asked after a checkpoint that was due."""


S_contra = TypeVar("S_contra", bound=Spec, contravariant=True)


class CompressionMethod(Protocol[S_contra]):
    """One way to make a student, as its spec asks."""

    def compress(self, teacher: Teacher, data: TaskData, spec: S_contra, context: RunContext) -> Student: ...
