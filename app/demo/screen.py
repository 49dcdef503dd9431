"""What the demo prints: bars in a terminal, plain lines elsewhere, and two tables."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from squeeze_client import Job
from squeeze_client.effects import Sync

_LEAST_TEXT_WIDTH = 20
_ANSWERS_WIDTH = 60


class Screen:
    """Standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, text: str) -> None:
        self._console.print(f"  {text}")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Something that takes a while."""
        self._console.print(f"• {text}")
        began = time.monotonic()
        yield
        self.say(f"{time.monotonic() - began:.1f} s")

    @contextmanager
    def job(self, text: str) -> Iterator[Callable[[Job[Sync]], None]]:
        """A job on its way: a bar, or a line for each stage and each quarter of the whole."""
        bar = Progress(
            TextColumn("  {task.description:<28}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        task = bar.add_task("queued", total=1.0)
        lines: list[str] = []

        def show(job: Job[Sync]) -> None:
            progress, fraction = job.progress, job.progress.fraction
            stage = progress.stage or job.status
            steps = f" {progress.step}/{progress.total_steps}" if progress.total_steps else ""
            bar.update(task, description=f"{stage}{steps}", completed=fraction)
            line = f"{stage}, {int(fraction * 4) * 25} %"
            if not self._console.is_terminal and [line] != lines[-1:]:
                self.say(line)
                lines.append(line)

        with self.step(text), bar:
            yield show

    def show_predictions(self, rows: Sequence[Mapping[str, str]], answers: Sequence[Sequence[Any]]) -> None:
        """One line a text: its label and what each model says."""
        table = Table(title="Predictions on dev texts", title_justify="left")
        width = max(_LEAST_TEXT_WIDTH, self._console.width - _ANSWERS_WIDTH)
        table.add_column("text", no_wrap=True, overflow="ellipsis", max_width=width)
        for heading in ("label", "teacher", "student"):
            table.add_column(heading, no_wrap=True)
        for row, *said in zip(rows, *answers, strict=True):
            best = [f"{top['label']} {top['score']:.2f}" for top, *_ in said]
            table.add_row(row["text"], row["label"], *best)
        self._console.print("", table)

    def show_comparison(self, metrics: Mapping[str, Any]) -> None:
        """Quality, size and speed as the job that made the student measured both, side by side."""
        table = Table(title="Teacher and student", title_justify="left")
        table.add_column("")
        for heading in ("teacher", "student", "ratio"):
            table.add_column(heading, justify="right")
        for name, form, values in _measurements(metrics):
            shown = ["-" if value is None else form.format(value) for value in values]
            old, new = values
            table.add_row(name, *shown, f"{new / old:.3f}" if old and new is not None else "")
        self._console.print("", table)


def _measurements(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, list[float | None]]]:
    """Each line of the comparison: its name, how its numbers are written, and the two numbers."""
    models = (metrics["teacher"], metrics["student"])
    yield "parameters", "{:,}", [model["total_parameters"] for model in models]
    for precision in ("fp32", "int8"):
        exports = [model["exports"].get(precision, {}) for model in models]
        latencies = [export.get("latency_ms", {}) for export in exports]
        sizes = [export.get("size_bytes") for export in exports]
        yield f"dev quality, {precision}", "{:.4f}", [export.get("metric") for export in exports]
        yield f"size on disk, {precision}, MB", "{:.1f}", [size and size / 1e6 for size in sizes]
        for batch in ("1", "32"):
            numbers = [latency.get(batch) for latency in latencies]
            yield f"latency, {precision}, batch of {batch}, ms", "{:.2f}", numbers
