"""The training loop that every method shares."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from app.domain.documents import TrainingSpec
from app.domain.planning import step_count
from worker.contracts import IntArray, RunContext, TokenizedSplit
from worker.data.batches import batch_rows, collate
from worker.distillation.objectives import Objective
from worker.distillation.training_objective import TrainingObjective
from worker.evaluation.quality import diverged
from worker.numerics.kernels import training_kernels
from worker.numerics.precision import autocast
from worker.parameterization.parameterizations import Parameterization
from worker.training.micro_batches import with_shares
from worker.training.schedules import warmup_then_linear_decay

_REPORT_EVERY = 10
"""Steps between looks at the loss: reading it waits for the device."""


@dataclass(frozen=True)
class Phase:
    """A stretch of steps in which the same weights train; each has an optimiser and a schedule of its own."""

    name: str
    steps: int
    begin: Callable[[], Parameterization]
    """Makes what trains from the network as the phase before left it."""
    training_objective: TrainingObjective | None = None
    """Its rows and its loss; None: the training's."""
    evaluate: Callable[[nn.Module], float] | None = None
    """What it keeps its best step by, higher is better; None: quality on dev. A phase with a measure of its
    own leaves its best step to the next one, and no step before the end of the last such phase can be the
    student; that end can."""
    warmup_share: float = 1.0
    """How much of the training's warm-up ratio it takes."""
    rates: tuple[float, float] = (1.0, 0.0)
    """Shares of the peak rate after the warm-up and at the end: a phase can begin where another ended."""
    patience: int | None = None
    """It ends after so many evaluations in a row without a new best step, which it goes back to; None: it
    runs all its steps and leaves the last."""

    open_steps: int = 0
    """So many of its steps leave a network that is not of its final size yet, which cannot be the student."""

    @property
    def goes_back(self) -> bool:
        """Whether it leaves its best step, not its last."""
        return self.evaluate is not None or self.patience is not None


@dataclass(frozen=True)
class TrainingResult:
    """How a training went. The network itself holds the best weights on dev, not the last."""

    best_quality: float
    best_step: int
    steps: int
    """Planned; a phase that ended early counts in full."""
    seconds_per_step: float
    """Median over the steps, evaluations left out."""


@dataclass
class _Progress:
    """What a checkpoint holds besides the weights in training."""

    step: int = 0
    best_quality: float = -math.inf
    best_step: int = 0
    best: Mapping[str, Tensor] | None = None
    stale_evaluations: int = 0
    """Since the best step, within a phase."""

    def consider(self, network: nn.Module, quality: float) -> None:
        """Remember the network if it is the best so far."""
        self.stale_evaluations += 1
        if quality > self.best_quality:
            self.best_quality, self.best_step = quality, self.step
            self.best = {name: value.clone() for name, value in network.state_dict().items()}
            self.stale_evaluations = 0

    def go_back(self, network: nn.Module) -> None:
        if self.best is None:  # no quality was a number
            raise diverged(f"The quality was no number up to step {self.step}.")
        network.load_state_dict(self.best)

    def forget(self) -> None:
        """What comes next is measured by something else."""
        self.best_quality, self.best_step, self.best = -math.inf, 0, None


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
        split: the rows to train on, in phases without a training_objective of their own.
        phases: one after another; their steps add up to the whole.
        objective: the loss of a batch, likewise.
        evaluate: quality on dev, higher is better.
        pad_id: fills up batches.
        context: the training spec, reports, checkpoints and cancellation.

    Raises:
        JobError: ``training_diverged`` when the loss is no longer finite.
        JobCancelled: the client has asked to stop.
    """
    training = _Training(
        network,
        TrainingObjective(split, objective, pad_id),
        total_steps=sum(phase.steps for phase in phases),
        evaluate=evaluate,
        context=context,
    )
    resumed = context.load_checkpoint()
    if resumed is not None:
        training.progress = _Progress(**resumed["progress"])
    else:
        torch.manual_seed(context.training.seed)
    network.train()
    for phase, end in zip(phases, accumulate(phase.steps for phase in phases), strict=True):
        if training.progress.step < end:
            training.run(phase, end=end, resumed=resumed)
            resumed = None
    training.finish()
    return training.result()


class _Training:
    """One training, phase by phase."""

    def __init__(
        self,
        network: nn.Module,
        training_objective: TrainingObjective,
        *,
        total_steps: int,
        evaluate: Callable[[nn.Module], float],
        context: RunContext,
    ) -> None:
        self.progress = _Progress()
        self._network = network
        self._lesson = training_objective
        self._total_steps = total_steps
        self._evaluate = evaluate
        self._context = context
        self._durations: list[float] = []
        count = context.training.evaluations
        self._evaluation_steps = {math.ceil(total_steps * k / count) for k in range(1, count + 1)}

    def run(self, phase: Phase, *, end: int, resumed: dict[str, Any] | None) -> None:
        """Take the steps of a phase up to ``end``, from where a checkpoint of it left off if there is one."""
        network, progress, context = self._network, self.progress, self._context
        training_objective = phase.training_objective or self._lesson
        weights = phase.begin()
        optimizer = torch.optim.AdamW(weights.groups(), fused=True)
        peaks = [group["lr"] for group in optimizer.param_groups]
        if resumed is not None:
            _restore(resumed, weights, optimizer)
        else:
            self._enter(phase)
        for rows in _row_stream(
            training_objective.split, context.training, first_step=progress.step, last_step=end
        ):
            context.check_cancelled()
            began = time.perf_counter()
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * self._rate(phase, progress.step - end + phase.steps)
            loss = self._step(training_objective, rows, weights=weights, optimizer=optimizer)
            progress.step += 1
            self._durations.append(time.perf_counter() - began)
            self._look(phase, loss, weights=weights, end=end)
            if phase.patience is not None and progress.stale_evaluations >= phase.patience:
                progress.step = end
                context.report(phase.name, progress.step, self._total_steps)
                break
            # At its end a phase leaves the network to the next one, whose weights may be others.
            if context.checkpoint_due() and progress.step < end:
                context.save_checkpoint(_checkpoint(progress, weights, optimizer))
        weights.release()
        if phase.goes_back:
            progress.go_back(network)
        if phase.evaluate is not None:
            progress.forget()

    def finish(self) -> None:
        """Leave the network with its best weights."""
        if self.progress.best is None:  # the last phase had a measure of its own
            self.progress.consider(self._network, self._evaluate(self._network))
        self.progress.go_back(self._network)
        self._network.eval()

    def result(self) -> TrainingResult:
        durations = sorted(self._durations)
        return TrainingResult(
            best_quality=self.progress.best_quality,
            best_step=self.progress.best_step,
            steps=self._total_steps,
            seconds_per_step=durations[len(durations) // 2] if durations else math.nan,
        )

    def _enter(self, phase: Phase) -> None:
        progress = self.progress
        if phase.evaluate is not None:
            progress.forget()
        elif progress.step > 0 and progress.best is None:
            # What a phase with a measure of its own has made may be better than all that comes of it.
            progress.consider(self._network, self._evaluate(self._network))
        progress.stale_evaluations = 0

    def _look(self, phase: Phase, loss: Tensor, *, weights: Parameterization, end: int) -> None:
        """Report and evaluate where it is time to."""
        progress, context = self.progress, self._context
        if progress.step % _REPORT_EVERY == 0 or progress.step == self._total_steps:
            loss_now = _finite(loss, progress.step)
            context.report(phase.name, progress.step, self._total_steps, loss=loss_now)
        if progress.step not in self._evaluation_steps and not (progress.step == end and phase.goes_back):
            return
        weights.fold()
        evaluate, name = (
            (self._evaluate, "dev_quality") if phase.evaluate is None else (phase.evaluate, "phase_quality")
        )
        quality = evaluate(self._network)
        if progress.step >= end - phase.steps + phase.open_steps:
            progress.consider(self._network, quality)
        values = {name: quality}
        context.report(phase.name, progress.step, self._total_steps, **values)

    def _rate(self, phase: Phase, step: int) -> float:
        ratio = phase.warmup_share * self._context.training.warmup_ratio
        return warmup_then_linear_decay(step, total_steps=phase.steps, warmup_ratio=ratio, ends=phase.rates)

    def _step(
        self,
        training_objective: TrainingObjective,
        rows: IntArray,
        *,
        weights: Parameterization,
        optimizer: torch.optim.Optimizer,
    ) -> Tensor:
        """One optimiser step on the mean loss over what is asked in some rows; returns that loss."""
        device, training = self._context.device, self._context.training
        size = training.micro_batch_size or len(rows)
        batches = [
            collate(
                training_objective.split, rows[i : i + size], pad_id=training_objective.pad_id, device=device
            )
            for i in range(0, len(rows), size)
        ]
        weights.materialise(batches)
        total = torch.zeros((), device=device)
        for batch, share in with_shares(batches):
            with autocast(device), training_kernels(device):
                loss = training_objective.objective(self._network, batch) * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        weights.pull_back()
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, training.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total


def total_steps(split: TokenizedSplit, training: TrainingSpec) -> int:
    return step_count(rows=len(split), training=training)


def _row_stream(
    split: TokenizedSplit, training: TrainingSpec, *, first_step: int, last_step: int
) -> Iterator[IntArray]:
    """The rows of each step in [first_step, last_step), epoch after epoch."""
    per_epoch = math.ceil(len(split) / training.batch_size)
    step = first_step
    while step < last_step:
        epoch, begin = divmod(step, per_epoch)
        batches = batch_rows(split.sizes, batch_size=training.batch_size, seed=training.seed, epoch=epoch)
        for rows in batches[begin : begin + last_step - step]:
            yield rows
            step += 1


def _finite(loss: Tensor, step: int) -> float:
    value = float(loss)
    if not math.isfinite(value):
        raise diverged(f"The loss became {value} at step {step}.")
    return value


def _checkpoint(
    progress: _Progress, weights: Parameterization, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    state = optimizer.state_dict()["state"]
    return {
        "progress": vars(progress),
        "weights": {name: value.detach() for name, value in weights.tensors().items()},
        "optimizer": {str(index): moments for index, moments in state.items()},
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


@torch.no_grad()
def _restore(state: dict[str, Any], weights: Parameterization, optimizer: torch.optim.Optimizer) -> None:
    saved = state["weights"]
    for name, value in weights.tensors().items():
        value.copy_(saved[name])
    moments = {int(index): values for index, values in state["optimizer"].items()}
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(state["rng"])
    if state["rng_cuda"]:
        torch.cuda.set_rng_state_all(state["rng_cuda"])
