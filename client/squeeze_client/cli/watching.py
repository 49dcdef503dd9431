"""A job on its way: a bar and curves on a terminal, lines elsewhere."""

import sys
from collections import defaultdict
from typing import Any, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from squeeze_client import Job, Squeeze
from squeeze_client.cli.output import errors, sparkline
from squeeze_client.effects import Sync

_MOST_CURVES = 5


class Watch:
    """What is shown of a job while it is waited for. Written to standard error."""

    def __init__(self, client: Squeeze) -> None:
        self._client = client
        self._after = 0
        self._curves: defaultdict[str, list[float]] = defaultdict(list)
        self._messages: list[str] = []
        self._last = ""
        self._live = (
            Live(console=errors, transient=False, refresh_per_second=4) if errors.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, job: Job[Sync]) -> None:
        """Show the job as it is now."""
        self._read_events(job)
        if self._live is not None:
            self._live.update(self._picture(job))
            return
        percent = int(job.progress.fraction * 10) * 10
        stage = job.progress.stage if job.status == "running" else None
        line = f"{job.id} {job.status}" + (f", {stage}, {percent} %" if stage else "")
        if line != self._last:
            print(line, file=sys.stderr, flush=True)
            self._last = line

    def _read_events(self, job: Job[Sync]) -> None:
        for event in self._client.jobs.events(job, after=self._after, follow=False):
            self._after = event.id
            if event.kind == "metrics":
                values = event.data.get("values") or {}
                for name in (name for name in values if "loss" in name or "dev" in name):
                    value = values[name]
                    self._curves[f"{event.data.get('stage')} {name}"].append(value)
            elif event.kind == "message" and event.data.get("level") == "warning":
                self._messages.append(event.data["text"])
                if self._live is None:
                    print(f"warning: {event.data['text']}", file=sys.stderr)

    def _picture(self, job: Job[Sync]) -> Group:
        progress = job.progress
        head = Table.grid(padding=(0, 1))
        head.add_column(no_wrap=True, min_width=len(job.id))
        bar = ProgressBar(total=1.0, completed=progress.fraction, width=20)
        steps = f"step {progress.step}/{progress.total_steps}" if progress.total_steps else ""
        left = f"{progress.eta_s:.0f} s left" if progress.eta_s is not None and not job.has_ended else ""
        stage = job.status if job.has_ended else progress.stage or job.status
        head.add_row(
            Text(job.id, style="dim", no_wrap=True), stage, bar, f"{progress.fraction:.0%}", steps, left
        )
        curves = Table.grid(padding=(0, 1))
        for name, values in list(self._curves.items())[-_MOST_CURVES:]:
            curves.add_row(name, Text(sparkline(values), style="cyan"), f"{values[-1]:.4g}")
        notes: list[Any] = [Text(f"warning: {text}", style="yellow") for text in self._messages[-3:]]
        if job.status_message:
            notes.append(Text(job.status_message, style="yellow"))
        return Group(head, curves, *notes)


def wait_for(client: Squeeze, job: Job[Sync], *, timeout_s: float | None) -> Job[Sync]:
    """The job once it has succeeded. Ctrl-C leaves it running, and says how to return.

    Raises:
        JobFailed: it has failed or was cancelled.
        WaitTimeout: it has not ended in time.
    """
    try:
        with Watch(client) as watch:
            return job.wait(timeout_s=timeout_s, on_progress=watch.show)
    except KeyboardInterrupt:
        print(
            f"Job {job.id} goes on. Return to it with: squeeze jobs watch {job.id}\n"
            f"Stop it with: squeeze jobs cancel {job.id}",
            file=sys.stderr,
        )
        raise
