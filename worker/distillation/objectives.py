"""What training makes small: losses over a network and a batch.

Shapes: B rows, T tokens, P positions, C outputs, H teacher width, D student width.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from app.domain.methods import DistillationTerms
from app.domain.tasks import TASKS, Task
from app.domain.tasks.record import Activation
from worker.data.batches import Batch
from worker.data.tokenization import MASKED_SHARE
from worker.networks.forward import forward
from worker.tasks import implementation_of
from worker.tasks.implementation import AnswerLoss

Objective = Callable[[nn.Module, Batch], Tensor]
"""A scalar, mean over the rows of the batch."""

InnerTerm = Callable[[nn.Module, Sequence[Tensor], Batch], Tensor]
"""Of a student, its hidden states on a batch, and the batch: a scalar. See ``inside``."""


def answer_loss(
    task: Task, *, smoothing: float | None = None, activation: Activation | None = None
) -> AnswerLoss:
    """The labels' loss of a task; None: with the label smoothing that is usual for it."""
    default = TASKS[task].label_smoothing
    return implementation_of(task, activation).answer_loss(default if smoothing is None else smoothing)


class LabelLoss:
    """What the labels say."""

    def __init__(
        self, task: Task, *, smoothing: float | None = None, activation: Activation | None = None
    ) -> None:
        self._loss = answer_loss(task, smoothing=smoothing, activation=activation)
        self._needs_rows = implementation_of(task, activation).needs_rows

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        rows = _rows(batch) if self._needs_rows else ()
        return batch.label_weight * self._loss(forward(network, batch).logits, labels_of(batch), *rows)


class Masking:
    """Hides words anew in every batch, then asks for them: 80 % masked, 10 % random, 10 % as they are.

    Draws from torch's generator of the CPU, whose state a checkpoint keeps.
    """

    def __init__(self, objective: Objective, *, mask_id: int, vocabulary: int) -> None:
        """Wrap an objective that is to see the masked batch.

        Args:
            objective: gets a batch whose positions are the hidden words and whose labels are these words.
            mask_id: takes a hidden word's place.
            vocabulary: random words are drawn from.
        """
        self._objective = objective
        self._mask_id = mask_id
        self._vocabulary = vocabulary

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        return self._objective(network, self.mask(batch))

    def mask(self, batch: Batch) -> Batch:
        """The batch with words hidden; its positions were those that may be."""
        assert batch.positions is not None
        ids = batch.inputs["input_ids"]
        draws = torch.rand(2, *ids.shape).to(ids.device)
        chosen = batch.positions & (draws[0] < MASKED_SHARE)
        random_words = torch.randint(self._vocabulary, ids.shape).to(ids.device)
        hidden = torch.where(chosen & (draws[1] < 0.8), self._mask_id, ids)
        hidden = torch.where(chosen & (draws[1] >= 0.9), random_words, hidden)
        return replace(
            batch,
            inputs={**batch.inputs, "input_ids": hidden},
            labels=ids[chosen],
            positions=chosen,
            label_weight=1.0,
        )


def hidden_state_loss(hidden_s: Tensor, hidden_t: Tensor, mask: Tensor) -> Tensor:
    """Mean squared distance of hidden states over the tokens that are there.

    Args:
        hidden_s: (B, T, D).
        hidden_t: (B, T, D), the teacher's states already mapped to the student's width.
        mask: (B, T), 1 where there is a token.

    Returns:
        Scalar, mean over tokens and dimensions.
    """
    weight = mask.unsqueeze(-1)  # (B, T, 1)
    squares = (hidden_s - hidden_t).square() * weight
    return squares.sum() / (weight.sum() * hidden_s.shape[-1])


class DistillationLoss:
    """(1 - w) L + w T² KL + a sum of weighted terms on the inside of both networks."""

    def __init__(
        self,
        terms: DistillationTerms,
        task: Task,
        *,
        smoothing: float | None,
        activation: Activation | None = None,
        teacher_logits: Callable[[Batch], Tensor],
        inner: Sequence[tuple[float, InnerTerm]] = (),
    ) -> None:
        """Build the loss.

        Args:
            terms: the temperature T and the weight w.
            task: whose labels' loss is L.
            smoothing: of labels; None: the task's default.
            activation: that outputs go through.
            teacher_logits: batch -> (P, C).
            inner: terms that look at hidden states, each with its weight.
        """
        self._terms = terms
        self._loss = answer_loss(task, smoothing=smoothing, activation=activation)
        self._soft_loss = implementation_of(task, activation).soft_loss
        self._needs_rows = implementation_of(task, activation).needs_rows
        self._teacher_logits = teacher_logits
        self._inner = inner

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        terms = self._terms
        output = forward(network, batch, with_states=bool(self._inner))
        rows = _rows(batch) if self._needs_rows else ()
        soft = self._soft_loss(output.logits, self._teacher_logits(batch), terms.temperature, *rows)
        if self._needs_rows:
            soft = batch.row_weight * soft
        loss = terms.logits_weight * soft
        if batch.labels is not None:
            labels = batch.label_weight * self._loss(output.logits, batch.labels, *rows)
            loss = loss + (1 - terms.logits_weight) * labels
        for weight, term in self._inner:
            assert output.states is not None
            loss = loss + weight * term(network, output.states, batch)
        return loss


def _rows(batch: Batch) -> tuple[Tensor]:
    return (batch.position_rows,)


def labels_of(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels
