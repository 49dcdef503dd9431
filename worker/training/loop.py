"""The training loop that every method shares."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from app.core.errors import JobError
from app.core.planning import step_count
from app.core.specs import TrainingSpec
from worker.contracts import IntArray, RunContext, TokenizedSplit
from worker.data import Batch, batch_rows, collate
from worker.training.objectives import Objective
from worker.training.precision import autocast
from worker.training.schedules import warmup_then_linear_decay
from worker.training.weights import Weights

_REPORT_EVERY = 10
"""Steps between looks at the loss: reading it waits for the device."""


@dataclass(frozen=True)
class Phase:
    """A stretch of steps in which the same weights train; each has an optimiser and a schedule of its own."""

    name: str
    steps: int
    begin: Callable[[], Weights]
    """Makes what trains from the network as the phase before left it."""


@dataclass(frozen=True)
class TrainingResult:
    """How a training went. The network itself holds the best weights on dev, not the last."""

    best_quality: float
    best_step: int
    steps: int
    seconds_per_step: float
    """Median over the steps, evaluations left out."""


@dataclass
class _Progress:
    """What a checkpoint holds besides the weights in training."""

    step: int = 0
    best_quality: float = -math.inf
    best_step: int = 0
    best: Mapping[str, Tensor] | None = None
    last_quality: float = -math.inf

    def consider(self, network: nn.Module, quality: float) -> None:
        """Remember the network if it is the best so far."""
        self.last_quality = quality
        if quality > self.best_quality:
            self.best_quality, self.best_step = quality, self.step
            self.best = {name: value.clone() for name, value in network.state_dict().items()}


def train(
    network: nn.Module,
    split: TokenizedSplit,
    *,
    phases: Sequence[Phase],
    objective: Objective,
    evaluate: Callable[[nn.Module], float],
    pad_id: int,
    context: RunContext,
) -> TrainingResult:
    """Train a network in place and leave it with its best weights on dev, in eval mode.

    Args:
        network: what is trained, on the context's device.
        split: the rows to train on.
        phases: one after another; their steps add up to the whole.
        objective: the loss of a batch.
        evaluate: quality on dev, higher is better.
        pad_id: fills up batches.
        context: the training spec, reports, checkpoints and cancellation.

    Raises:
        JobError: ``training_diverged`` when the loss is no longer finite.
        JobCancelled: the client has asked to stop.
    """
    training = context.training
    total_steps = sum(phase.steps for phase in phases)
    evaluation_steps = {
        math.ceil(total_steps * k / training.evaluations) for k in range(1, training.evaluations + 1)
    }
    progress = _Progress()
    durations: list[float] = []
    resumed = context.load_checkpoint()
    if resumed is not None:
        progress = _Progress(**resumed["progress"])
    else:
        torch.manual_seed(training.seed)

    network.train()
    for phase, end in zip(phases, accumulate(phase.steps for phase in phases), strict=True):
        start = end - phase.steps
        if progress.step >= end:
            continue
        weights = phase.begin()
        optimizer = torch.optim.AdamW(weights.groups(), fused=True)
        peaks = [group["lr"] for group in optimizer.param_groups]
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        if resumed is not None:
            _restore(resumed, weights, optimizer)
            resumed = None
        for rows in _row_stream(split, training, first_step=progress.step, last_step=end):
            context.check_cancelled()
            began = time.perf_counter()
            factor = warmup_then_linear_decay(
                progress.step - start, total_steps=phase.steps, warmup_ratio=training.warmup_ratio
            )
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            batches = [
                collate(split, part, pad_id=pad_id, device=context.device)
                for part in _micro_batches(rows, training.micro_batch_size)
            ]
            loss = _step(network, batches, weights=weights, objective=objective, device=context.device)
            nn.utils.clip_grad_norm_(trained, training.max_gradient_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            progress.step += 1
            durations.append(time.perf_counter() - began)

            if progress.step % _REPORT_EVERY == 0 or progress.step == total_steps:
                context.report(phase.name, progress.step, total_steps, loss=_finite(loss, progress.step))
            if progress.step in evaluation_steps:
                weights.fold()
                progress.consider(network, evaluate(network))
                context.report(phase.name, progress.step, total_steps, dev_quality=progress.last_quality)
            if context.checkpoint_due():
                context.save_checkpoint(_checkpoint(progress, weights, optimizer))
        weights.release()

    assert progress.best is not None
    network.load_state_dict(progress.best)
    network.eval()
    return TrainingResult(
        best_quality=progress.best_quality,
        best_step=progress.best_step,
        steps=total_steps,
        seconds_per_step=sorted(durations)[len(durations) // 2] if durations else math.nan,
    )


def total_steps(split: TokenizedSplit, training: TrainingSpec) -> int:
    return step_count(rows=len(split), training=training)


def _step(
    network: nn.Module,
    batches: Sequence[Batch],
    *,
    weights: Weights,
    objective: Objective,
    device: torch.device,
) -> Tensor:
    """Gradients of the mean loss over all rows of the batches, on what is trained; returns that loss."""
    rows = sum(len(batch.rows) for batch in batches)
    weights.materialise(batches)
    total = torch.zeros((), device=device)
    for batch in batches:
        with autocast(device):
            loss = objective(network, batch) * (len(batch.rows) / rows)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    weights.pull_back()
    return total


def _row_stream(
    split: TokenizedSplit, training: TrainingSpec, *, first_step: int, last_step: int
) -> Iterator[IntArray]:
    """The rows of each step in [first_step, last_step), epoch after epoch."""
    per_epoch = math.ceil(len(split) / training.batch_size)
    step = first_step
    while step < last_step:
        epoch, begin = divmod(step, per_epoch)
        batches = batch_rows(split.lengths, batch_size=training.batch_size, seed=training.seed, epoch=epoch)
        for rows in batches[begin : begin + last_step - step]:
            yield rows
            step += 1


def _micro_batches(rows: IntArray, size: int | None) -> list[IntArray]:
    size = size or len(rows)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _finite(loss: Tensor, step: int) -> float:
    value = float(loss)
    if not math.isfinite(value):
        raise JobError(
            "training_diverged",
            f"The loss became {value} at step {step}. Lower training.learning_rate or raise warmup_ratio.",
        )
    return value


def _checkpoint(progress: _Progress, weights: Weights, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state = optimizer.state_dict()["state"]
    return {
        "progress": vars(progress),
        "weights": {name: value.detach() for name, value in weights.tensors().items()},
        "optimizer": {str(index): moments for index, moments in state.items()},
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


@torch.no_grad()
def _restore(state: dict[str, Any], weights: Weights, optimizer: torch.optim.Optimizer) -> None:
    saved = state["weights"]
    for name, value in weights.tensors().items():
        value.copy_(saved[name])
    moments = {int(index): values for index, values in state["optimizer"].items()}
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(state["rng"])
    if state["rng_cuda"]:
        torch.cuda.set_rng_state_all(state["rng_cuda"])
