"""The outside as a method sees it."""

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
from app.domain.errors import JobCancelled
from worker.contracts import Replica
from worker.job.checkpoint import Checkpoints
from worker.runner.reporter import Reporter

ONLY_REPLICA = Replica()


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
