"""What a job's process tells of its work."""

import time
from collections.abc import Callable, Mapping

from app.domain.documents.events import Message, Metrics, Progress
from worker.runner.protocol import Alive, CheckpointWritten, ChildEvent, StageStarted

Send = Callable[[ChildEvent], None]

_PROGRESS_INTERVAL_S = 0.3
_METRICS_INTERVAL_S = 1.0
_ALIVE_INTERVAL_S = 1.0


class Reporter:
    """Turns stages and steps into events, no more of them than somebody can read."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._stage = ""
        self._stages_started = 0
        self._progress_at = 0.0
        self._alive_at = 0.0
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
        self._send(Progress(stage=stage, step=step, total_steps=total_steps))

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
