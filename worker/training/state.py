"""How far a training is: what a checkpoint holds, and how a training goes on from one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from worker.evaluation.quality import diverged
from worker.parameterization.parameterizations import Parameterization


@dataclass
class TrainingState:
    """How far a training is, and its best step so far: what a checkpoint holds besides what is trained."""

    step: int = 0
    best_quality: float = -math.inf
    best_step: int = 0
    best: Mapping[str, Tensor] | None = None
    stale_evaluations: int = 0
    """Since the best step, within a phase."""
    dev_curve: Sequence[float] = ()
    """Quality on dev at each evaluation."""

    def consider(self, network: nn.Module, quality: float) -> None:
        """Remember the network if it is the best so far."""
        self.stale_evaluations += 1
        if quality > self.best_quality:
            self.best_quality, self.best_step = quality, self.step
            self.best = {name: value.clone() for name, value in network.state_dict().items()}
            self.stale_evaluations = 0

    def restore_best(self, network: nn.Module) -> None:
        """Load the best step's weights.

        Raises:
            JobError: ``training_diverged``, when no quality was a number.
        """
        if self.best is None:
            raise diverged(f"The dev metric was NaN up to step {self.step}.")
        network.load_state_dict(self.best)

    def forget_best(self) -> None:
        """What comes next is measured by something else."""
        self.best_quality, self.best_step, self.best = -math.inf, 0, None


def checkpoint(
    state: TrainingState, weights: Parameterization, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """All that it takes to go on with a training as if it had not stopped."""
    moments = optimizer.state_dict()["state"]
    return {
        "progress": vars(state),
        "weights": {name: value.detach() for name, value in weights.tensors().items()},
        "optimizer": {str(index): values for index, values in moments.items()},
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


@torch.no_grad()
def restore(saved: dict[str, Any], weights: Parameterization, optimizer: torch.optim.Optimizer) -> None:
    """Write what ``checkpoint`` saved into weights, their optimiser and the random generators, in place."""
    tensors = saved["weights"]
    for name, value in weights.tensors().items():
        value.copy_(tensors[name])
    moments = {int(index): values for index, values in saved["optimizer"].items()}
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(saved["rng"])
    if saved["rng_cuda"]:
        torch.cuda.set_rng_state_all(saved["rng_cuda"])
