"""What a BiLSTM learns from a teacher: its logits, its choices, its states.

Shapes: P positions, C outputs, H teacher width, which is the projection's too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.data.batches import Batch, at_positions
from worker.distillation.objectives import labels_of
from worker.networks.forward import ForwardOutput, forward
from worker.tasks.implementation import AnswerLoss
from worker.tasks.losses import cross_entropy

SoftTargets = Literal["logits", "labels"]
RepresentationLoss = Literal["mse", "cosine", "kld"]
Lookup = Callable[[Batch], Tensor]
"""What a teacher says of a batch: logits (P, C) or states (P, H)."""


def answer_distance(logits_s: Tensor, logits_t: Tensor, kind: SoftTargets) -> Tensor:
    """Distance between student and teacher on unlabeled text.

    Args:
        logits_s: (P, C).
        logits_t: (P, C).
        kind: ``logits``: half the squared distance (Eq. 4), the teacher's moved to mean 0, which leaves its
            probabilities as they are; ``labels``: the cross-entropy of the teacher's choice.

    Returns:
        Scalar, mean over P, 0 where P is.
    """
    if kind == "labels":
        return cross_entropy(logits_s, logits_t.argmax(-1))
    centred = logits_t - logits_t.mean(-1, keepdim=True)
    return _mean((logits_s - centred).square().sum(-1)) / 2


def representation_distance(projected: Tensor, states_t: Tensor, kind: RepresentationLoss) -> Tensor:
    """How far a student's projection is from its teacher's states (Eq. 6).

    Args:
        projected: (P, H), before its GELU, which could not reach what is negative.
        states_t: (P, H).
        kind: ``mse``: mean over P and H; ``cosine``: 1 - cosine; ``kld``: of the softmax of both over H.

    Returns:
        Scalar, mean over P, 0 where P is.
    """
    match kind:
        case "mse":
            return _mean((projected - states_t).square().mean(-1))
        case "cosine":
            return _mean(1 - functional.cosine_similarity(projected, states_t, dim=-1))
        case "kld":
            log_s, log_t = projected.log_softmax(-1), states_t.log_softmax(-1)
            return _mean(functional.kl_div(log_s, log_t, reduction="none", log_target=True).sum(-1))


def _mean(values: Tensor) -> Tensor:
    """Over (P,); 0 where there are none."""
    return values.sum() / max(1, len(values))


Term = Callable[[ForwardOutput, Batch], Tensor]
"""A scalar of what a network says."""


@dataclass(frozen=True)
class AnswerTerm:
    """The distance of the answers."""

    logits_t: Lookup
    kind: SoftTargets

    def __call__(self, output: ForwardOutput, batch: Batch) -> Tensor:
        return answer_distance(output.logits, self.logits_t(batch), self.kind)


@dataclass(frozen=True)
class StatesTerm:
    """The distance of the states."""

    states_t: Lookup
    kind: RepresentationLoss

    def __call__(self, output: ForwardOutput, batch: Batch) -> Tensor:
        assert output.states is not None
        projected = at_positions(output.states[-1], batch).float()
        return representation_distance(projected, self.states_t(batch), self.kind)


@dataclass(frozen=True)
class LabelTerm:
    """What the labels say."""

    loss: AnswerLoss

    def __call__(self, output: ForwardOutput, batch: Batch) -> Tensor:
        return batch.label_weight * self.loss(output.logits, labels_of(batch))


class Sum:
    """Terms of one answer, each weighing the same (Eq. 7)."""

    def __init__(self, *terms: Term) -> None:
        self.terms = terms

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        output = forward(network, batch, with_states=True)
        return torch.stack([term(output, batch) for term in self.terms]).sum()
