"""The outside as a method sees it, and how far the job is as its client sees it."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from app.domain.architectures import AnyShape, Architecture
from app.domain.documents import TrainingSpec
from app.domain.documents.events import Message, Metrics, Progress
from app.domain.errors import JobCancelled
from worker.contracts import Replica
from worker.job.checkpoint import Checkpoints
from worker.runner.protocol import Alive, CheckpointWritten, ChildEvent, StageStarted

Send = Callable[[ChildEvent], None]

TRAINING = "training"
# What each stage takes of a usual job. A method's own stages, whatever their names, are its training.
_SHARES = {
    "fetching": 0.01,
    "loading": 0.01,
    "tokenizing": 0.02,
    "planning": 0.01,
    "evaluating_teacher": 0.04,
    "trimming": 0.01,
    "initial_maps": 0.02,
    "teacher_outputs": 0.06,
    TRAINING: 0.68,
    "evaluating": 0.02,
    "exporting": 0.03,
    "checking": 0.03,
    "measuring": 0.05,
    "storing": 0.01,
}
ONLY_REPLICA = Replica()
_PROGRESS_INTERVAL_S = 0.3
_METRICS_INTERVAL_S = 1.0
_ALIVE_INTERVAL_S = 1.0


class Cancellation:
    """Signals as questions: the process ends where it next asks, not where it stands."""

    def __init__(self, *, check_lease: Callable[[], None] = lambda: None) -> None:
        """Check the lease in every cancellation check too; ``check_lease`` ends the process."""
        self._check_lease = check_lease
        self.requested = False
        """The job's work is wanted no more."""
        self.suspended = False
        """The job is to go on elsewhere, from a checkpoint if it is in training."""

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self.request())
        signal.signal(signal.SIGUSR1, lambda *_: self.suspend())

    def request(self) -> None:
        self.requested = True

    def suspend(self) -> None:
        self.suspended = True

    def check(self) -> None:
        """Raise ``JobCancelled`` where the process is to stop; for places where there is nothing to save."""
        self.check_within_step()
        if self.suspended:
            raise JobCancelled

    def check_within_step(self) -> None:
        """Raise ``JobCancelled`` where the work is wanted no more; at the end of a step it could be saved."""
        self._check_lease()
        if self.requested:
            raise JobCancelled


class Reporter:
    """Turns stages and steps into events, no more of them than somebody can read."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._stage = ""
        self._stages_started = 0
        self._fraction = 0.0
        self._progress_at = 0.0
        self._alive_at = 0.0
        self._training_began: tuple[int, float] | None = None
        self._held: dict[tuple[str, ...], Metrics] = {}
        self._sent_at: dict[tuple[str, ...], float] = {}

    def start_stage(self, name: str) -> None:
        """Tell of the next stage of the job."""
        self._stages_started += 1
        self._send(StageStarted(number=self._stages_started))
        self.progress(name, 0, 1)

    def progress(self, stage: str, step: int, total_steps: int) -> None:
        """Tell how far a stage is; dropped when the last word is fresh, unless the stage begins or ends."""
        now = time.monotonic()
        if stage == self._stage and step < total_steps and now < self._progress_at + _PROGRESS_INTERVAL_S:
            return
        self._stage, self._progress_at = stage, now
        share = stage if stage in _SHARES else TRAINING
        done = sum(list(_SHARES.values())[: list(_SHARES).index(share)])
        # Stages of a method may come in any order; a bar never goes back.
        self._fraction = max(self._fraction, done + _SHARES[share] * step / total_steps)
        self._send(
            Progress(
                stage=stage,
                step=step,
                total_steps=total_steps,
                fraction=min(1.0, self._fraction),
                eta_s=self._seconds_left(step, total_steps, now) if share == TRAINING else None,
            )
        )

    def metrics(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Tell what was measured; of the same values only the newest in an interval, and the last."""
        names, now = tuple(values), time.monotonic()
        self._held[names] = Metrics(stage=stage, step=step, values=dict(values))
        if now >= self._sent_at.get(names, float("-inf")) + _METRICS_INTERVAL_S:
            self._sent_at[names] = now
            self._send(self._held.pop(names))

    def alive(self) -> None:
        """Tell, once in an interval, that work goes on; cheap enough for every batch."""
        now = time.monotonic()
        if now >= self._alive_at + _ALIVE_INTERVAL_S:
            self._alive_at = now
            self._send(Alive())

    def checkpoint(self, step: int) -> None:
        """Tell of a checkpoint in the work folder."""
        self._send(CheckpointWritten(step=step))

    def message(self, text: str, *, is_warning: bool = False) -> None:
        self._send(Message(level="warning" if is_warning else "info", text=text))

    def flush(self) -> None:
        """Send what was held back."""
        for metrics in self._held.values():
            self._send(metrics)
        self._held.clear()

    def _seconds_left(self, step: int, total_steps: int, now: float) -> float | None:
        """From the rate since the first step of this attempt, which may be a late one of the job."""
        if step == 0:
            return None
        if self._training_began is None:
            self._training_began = (step, now)
        first_step, began = self._training_began
        if step <= first_step:
            return None
        return (now - began) / (step - first_step) * (total_steps - step)


class StageTimer:
    """Announces and times a job's stages; none begins once the client has asked to stop."""

    def __init__(self, reporter: Reporter, cancellation: Cancellation) -> None:
        self._reporter = reporter
        self._cancellation = cancellation
        self.stage = ""
        """The last one that was asked for."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self.stage = name
        self._cancellation.check()
        self._reporter.start_stage(name)
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - began
            self._reporter.flush()


class JobContext:
    """The ``RunContext`` of a real job."""

    def __init__(
        self,
        *,
        device: torch.device,
        training: TrainingSpec,
        architecture: Architecture,
        cache_dir: Path,
        checkpoints: Checkpoints,
        checkpoint_interval_s: float,
        reporter: Reporter,
        cancellation: Cancellation,
        load_model: Callable[[str], PreTrainedModel],
        replica: Replica = ONLY_REPLICA,
    ) -> None:
        self.device = device
        self.replica = replica
        self.training = training
        self.architecture = architecture
        self.cache_dir = cache_dir
        self.load_model = load_model
        self.check_cancelled = cancellation.check
        self._cancellation = cancellation
        self._checkpoints = checkpoints
        self._checkpoint_interval_s = checkpoint_interval_s
        self._checkpoint_at = time.monotonic()
        self._reporter = reporter

    @property
    def shape(self) -> AnyShape:
        return self.architecture.shape

    def report(self, stage: str, step: int, total_steps: int, **metrics: float) -> None:
        self._reporter.progress(stage, step, total_steps)
        if metrics:
            self._reporter.metrics(stage, step, metrics)

    def checkpoint_due(self) -> bool:
        if self._cancellation.suspended:
            return True
        return time.monotonic() >= self._checkpoint_at + self._checkpoint_interval_s

    def save_checkpoint(self, state: Mapping[str, Any], *, step: int) -> None:
        self._checkpoints.save(state, step=step)
        self._checkpoint_at = time.monotonic()
        self._reporter.checkpoint(step)

    def load_checkpoint(self) -> dict[str, Any] | None:
        return self._checkpoints.load()
