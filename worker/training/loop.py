"""The training loop that every method shares."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from app.domain.documents import TrainingSpec
from app.domain.planning import step_count
from worker.contracts import IntArray, RunContext, TokenizedSplit
from worker.data.batches import collate
from worker.distillation.training_objective import TrainingObjective
from worker.evaluation.quality import diverged
from worker.numerics.kernels import training_kernels
from worker.numerics.precision import autocast
from worker.parameterization.parameterizations import Parameterization
from worker.training.dev_curve import final_gain, is_worthwhile
from worker.training.micro_batches import with_shares
from worker.training.row_stream import row_stream
from worker.training.schedules import PhaseSchedule
from worker.training.selection import BY_DEV_QUALITY, Evaluate, PhaseSelection
from worker.training.state import TrainingState, checkpoint, restore

_REPORT_EVERY = 10
"""Steps between reports of the loss and the gradient norm: reading them waits for the device."""


@dataclass(frozen=True)
class Phase:
    """A stretch of steps in which the same weights train; each has an optimiser and a schedule of its own."""

    name: str
    parameterize: Callable[[], Parameterization]
    """Makes what trains from the network as the phase before left it."""
    schedule: PhaseSchedule
    selection: PhaseSelection = BY_DEV_QUALITY
    training_objective: TrainingObjective | None = None
    """Its rows and its loss; None: the training's."""

    @property
    def steps(self) -> int:
        return self.schedule.steps


@dataclass(frozen=True)
class TrainingResult:
    """How a training went. The network itself holds the best weights on dev, not the last."""

    best_quality: float
    best_step: int
    steps: int
    """Planned, and those of extensions; a phase that ended early counts in full."""
    final_gain: float
    """By how much quality on dev rose at last, see ``final_gain``."""
    seconds_per_step: float
    """Median over the steps, evaluations left out."""


@dataclass(frozen=True)
class _StepResult:
    """Of one optimiser step, still on the device: reading either waits for it."""

    loss: Tensor
    """Scalar."""
    gradient_norm: Tensor
    """Scalar, before clipping."""
    learning_rate: float
    """Of the first parameter group."""

    def read(self, step: int) -> dict[str, float]:
        """The values, in one wait.

        Raises:
            JobError: ``training_diverged``, when one is not finite.
        """
        loss, gradient_norm = torch.stack([self.loss, self.gradient_norm.to(self.loss)]).tolist()
        for name, value in (("loss", loss), ("gradient norm", gradient_norm)):
            if not math.isfinite(value):
                raise diverged(f"The {name} became {value} at step {step}.")
        return {"loss": loss, "learning_rate": self.learning_rate, "gradient_norm": gradient_norm}


def train(
    network: nn.Module,
    training_objective: TrainingObjective,
    *,
    phases: Sequence[Phase],
    extensions: Sequence[Phase] = (),
    evaluate: Evaluate,
    context: RunContext,
) -> TrainingResult:
    """Train a network in place and leave it with its best weights on dev, in eval mode.

    Of several replicas only the main one ends so: they exchange nothing yet.

    Args:
        network: what is trained, on the context's device.
        training_objective: the rows and the loss of phases without one of their own.
        phases: one after another; their steps add up to the whole.
        extensions: further phases, each of which begins only if quality on dev still rises.
        evaluate: quality on dev.
        context: the training spec, reports, checkpoints and cancellation.

    Raises:
        JobError: ``training_diverged``, when the loss or its gradient is no longer finite.
        JobCancelled: the client has asked to stop.
    """
    training = _Training(
        network,
        training_objective,
        total_steps=sum(phase.steps for phase in phases),
        evaluate=evaluate,
        context=context,
    )
    resumed = context.load_checkpoint()
    if resumed is not None:
        training.state = TrainingState(**resumed["progress"])
    else:
        torch.manual_seed(context.training.seed)
    network.train()
    ends = accumulate(phase.steps for phase in [*phases, *extensions])
    for phase, end in zip([*phases, *extensions], ends, strict=True):
        if training.state.step >= end:
            continue
        if end > training.total_steps:
            has_begun = training.state.step > end - phase.steps
            if not (has_begun or is_worthwhile(final_gain(training.state.dev_curve))):
                break
            training.total_steps = end
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
        evaluate: Evaluate,
        context: RunContext,
    ) -> None:
        self.state = TrainingState()
        self._network = network
        self._training_objective = training_objective
        self.total_steps = total_steps
        self._evaluate = evaluate
        self._context = context
        self._is_main = context.replica.is_main
        self._durations: list[float] = []
        self._planned_steps = total_steps

    def run(self, phase: Phase, *, end: int, resumed: dict[str, Any] | None) -> None:
        """Take the steps of a phase up to ``end``, from where a checkpoint of it left off if there is one."""
        state, context, selection = self.state, self._context, phase.selection
        training_objective = phase.training_objective or self._training_objective
        weights = phase.parameterize()
        optimizer = torch.optim.AdamW(weights.groups(), fused=True)
        peaks, warmup_ratio = [group["lr"] for group in optimizer.param_groups], context.training.warmup_ratio
        if resumed is not None:
            restore(resumed, weights, optimizer)
        else:
            self._begin(selection)
        self._report(phase)
        split, replica = training_objective.split, context.replica
        for rows in row_stream(
            split, context.training, first_step=state.step, last_step=end, replica=replica
        ):
            context.check_cancelled()
            began = time.perf_counter()
            rate = phase.schedule.rate(state.step - end + phase.steps, warmup_ratio=warmup_ratio)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
            result = self._step(training_objective, rows, weights=weights, optimizer=optimizer)
            state.step += 1
            self._durations.append(time.perf_counter() - began)
            self._report_and_evaluate(phase, result, weights=weights, end=end)
            if selection.patience is not None and state.stale_evaluations >= selection.patience:
                state.step = end
                self._report(phase)
                break
            # At its end a phase leaves the network to the next one, whose weights may be others.
            if self._is_main and context.checkpoint_due() and state.step < end:
                context.save_checkpoint(checkpoint(state, weights, optimizer), step=state.step)
        weights.release()
        if selection.leaves_best_step and self._is_main:
            state.restore_best(self._network)
        if selection.evaluate is not None:
            state.forget_best()

    def finish(self) -> None:
        """Leave the network with its best weights."""
        if self._is_main:
            if self.state.best is None:  # the last phase had a measure of its own
                self._consider_current()
            self.state.restore_best(self._network)
        self._network.eval()

    def result(self) -> TrainingResult:
        durations = sorted(self._durations)
        return TrainingResult(
            best_quality=self.state.best_quality,
            best_step=self.state.best_step,
            steps=self.total_steps,
            final_gain=final_gain(self.state.dev_curve),
            seconds_per_step=durations[len(durations) // 2] if durations else math.nan,
        )

    def _begin(self, selection: PhaseSelection) -> None:
        state = self.state
        if selection.evaluate is not None:
            state.forget_best()
        elif state.step > 0 and state.best is None and self._is_main:
            # What a phase with a measure of its own has made may be better than all that comes of it.
            self._consider_current()
        state.stale_evaluations = 0

    def _consider_current(self) -> None:
        self.state.consider(self._network, self._evaluate(self._network))

    def _report_and_evaluate(
        self, phase: Phase, result: _StepResult, *, weights: Parameterization, end: int
    ) -> None:
        """Report and evaluate after a step, where either is due."""
        state, selection = self.state, phase.selection
        if state.step % _REPORT_EVERY == 0 or state.step == self.total_steps:
            self._report(phase, **result.read(state.step))
        is_last = state.step == end and selection.leaves_best_step
        if not self._is_main or not (is_last or self._is_evaluation_due()):
            return
        weights.fold()
        quality = (selection.evaluate or self._evaluate)(self._network)
        if state.step >= end - phase.steps + selection.unfinished_steps:
            state.consider(self._network, quality)
        if selection.evaluate is None:
            state.dev_curve = (*state.dev_curve, quality)
            self._report(phase, dev_quality=quality)
        else:
            self._report(phase, phase_quality=quality)

    def _is_evaluation_due(self) -> bool:
        """At so many steps of the planned ones as there are to be evaluations, the last included."""
        planned, count, step = self._planned_steps, self._context.training.evaluations, self.state.step
        return step * count // planned > (step - 1) * count // planned

    def _report(self, phase: Phase, **metrics: float) -> None:
        if self._is_main:
            self._context.report(phase.name, self.state.step, self.total_steps, **metrics)

    def _step(
        self,
        training_objective: TrainingObjective,
        rows: IntArray,
        *,
        weights: Parameterization,
        optimizer: torch.optim.Optimizer,
    ) -> _StepResult:
        """One optimiser step on the mean loss over the predicted positions of some rows."""
        device, training = self._context.device, self._context.training
        size = training.micro_batch_size or max(1, len(rows))
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
        norm = nn.utils.clip_grad_norm_(trained, training.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return _StepResult(total, norm, learning_rate=optimizer.param_groups[0]["lr"])


def total_steps(split: TokenizedSplit, training: TrainingSpec) -> int:
    return step_count(rows=len(split), training=training)
