"""The scale of scores: a network learns numbers of about one, whatever a data set asks for.

Adam moves an output by about its rate a step: scores in the hundreds would be out of reach. Where they
lie far from one, everything a method sees is on a scale of mean 0 and spread 1, and its student is put back.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel

from app.domain.tasks import TASKS
from worker.contracts import FloatArray, LabelArray, TaskData, Teacher, TokenizedSplit
from worker.networks.views import head_view

_FAR = 3.0
"""Means up to this, and spreads from its inverse up to it, are learnt as they are, as STS-B's 0 to 5 in the
papers."""


@dataclass(frozen=True)
class TargetScaler:
    """score = mean + spread * what a network says on it."""

    mean: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, data: TaskData) -> "TargetScaler":
        """That of the training split's scores; of other tasks, and of scores of about one, as they are."""
        if TASKS[data.task].outputs != "number" or data.activation or data.train.labels is None:
            return cls()
        known = data.train.labels[np.isfinite(data.train.labels)].astype(np.float64)
        mean, spread = float(known.mean()), float(known.std())
        if abs(mean) <= _FAR and 1 / _FAR <= spread <= _FAR:
            return cls()
        return cls(mean, spread or 1.0)

    @property
    def is_plain(self) -> bool:
        return self == TargetScaler()

    def data(self, data: TaskData) -> TaskData:
        """The same texts with their scores on this scale."""
        if self.is_plain:
            return data
        unlabeled = None if data.unlabeled is None else self._split(data.unlabeled)
        return replace(data, train=self._split(data.train), dev=self._split(data.dev), unlabeled=unlabeled)

    def teacher(self, teacher: Teacher) -> Teacher:
        """A teacher that answers on this scale; the one given stays as it is."""
        if self.is_plain:
            return teacher
        digest = f"{teacher.digest}-{self.mean!r}-{self.spread!r}"
        untrimmed = None if teacher.untrimmed is None else self.teacher(teacher.untrimmed)
        return replace(teacher, network=self.network(teacher.network), digest=digest, untrimmed=untrimmed)

    def network(self, network: PreTrainedModel) -> PreTrainedModel:
        """Likewise of a network."""
        if self.is_plain:
            return network
        scaled = copy.deepcopy(network)
        _set_output(scaled, lambda weight, bias: (weight / self.spread, (bias - self.mean) / self.spread))
        return scaled

    def restore(self, network: PreTrainedModel) -> None:
        """Let a network on this scale answer with scores, in place."""
        if not self.is_plain:
            _set_output(network, lambda weight, bias: (weight * self.spread, bias * self.spread + self.mean))

    def _split(self, split: TokenizedSplit) -> TokenizedSplit:
        return replace(split, labels=self._scaled(split.labels), scores=self._scaled(split.scores))

    def _scaled(self, scores: FloatArray | LabelArray | None) -> FloatArray | None:
        if scores is None:
            return None
        return ((scores.astype(np.float64) - self.mean) / self.spread).astype(np.float32)


@torch.no_grad()
def _set_output(
    network: PreTrainedModel,
    change: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> None:
    output = head_view(network).output.linear
    weight, bias = change(output.weight.double(), output.bias.double())
    output.weight.copy_(weight)
    output.bias.copy_(bias)
