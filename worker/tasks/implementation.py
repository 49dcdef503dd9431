"""What a task is in tokens, tensors and arrays: the parts that differ in code, beside the task's record.

Shapes: P positions of a split, N positions compared, C outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from worker.contracts import FloatArray, IntArray, ModelTokenizers, TokenizedSplit

Thresholds = Sequence[float]
"""The score from which on each label passes, chosen on dev and stored with the model; empty where the task
chooses one label, or none."""

AnswerLoss = Callable[..., Tensor]
"""Logits (P, C) and labels (P,) to a scalar, mean over the positions whose label is known; where the task
``needs_rows``, from the row of each position (P,) as well, mean over rows."""


class Encode(Protocol):
    def __call__(
        self,
        columns: Mapping[str, list[Any]],
        tokenizers: ModelTokenizers,
        *,
        max_length: int,
        token_types: bool,
        labels: int,
    ) -> TokenizedSplit:
        """One split of a model's tokens, from the columns of its canonical form; ``labels`` there are."""


class SoftLoss(Protocol):
    def __call__(
        self, logits_s: Tensor, logits_t: Tensor, temperature: float | None, /, *rows: Tensor
    ) -> Tensor:
        """How far a student's logits (P, C) are from its teacher's; None: the task's default temperature.

        ``rows`` is given where the task needs them, as for its ``answer_loss``.
        """


class Metrics(Protocol):
    def __call__(
        self, split: TokenizedSplit, logits: FloatArray, labels: list[str], thresholds: Thresholds, /
    ) -> dict[str, float]:
        """The metrics of the task, from logits (P, C) at a split's positions."""


class Agreement(Protocol):
    def __call__(
        self,
        reference: FloatArray,
        exported: FloatArray,
        thresholds: Thresholds,
        counts: IntArray | None = None,
        /,
    ) -> float:
        """Share of answers that are the same, in [0, 1], of two networks' logits (N, C).

        ``counts`` says how many of the N each row has.
        """


@dataclass(frozen=True)
class TaskImplementation:
    """The functions of one task."""

    encode: Encode
    answer_loss: Callable[[float], AnswerLoss]
    """The loss of the labels, with so much label smoothing."""
    soft_loss: SoftLoss
    metrics: Metrics | None
    """None where the network writes: what it wrote is measured, not its logits."""
    baseline: Callable[[TokenizedSplit], float]
    """The main metric of the trivial answer."""
    agreement: Agreement
    thresholds: Callable[[TokenizedSplit, FloatArray], Thresholds] | None = None
    """The best ones for logits (P, C) on a split; None where labels have none."""
    needs_rows: bool = False
    """Whether a row has one answer among all its positions, over which losses and agreement are."""
