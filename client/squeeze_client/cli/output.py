"""What is printed: tables and bars on a terminal, plain lines elsewhere, JSON where it is asked for."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from squeeze_client.archives import Progress as OnProgress

_BARS = "▁▂▃▄▅▆▇█"

errors = Console(stderr=True, highlight=False)
"""For progress, so that standard output has results alone."""


def print_json(value: Any) -> None:
    """A model, or a list of them, as JSON."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    elif isinstance(value, list):
        value = [item.model_dump(mode="json") if isinstance(item, BaseModel) else item for item in value]
    print(json.dumps(value, ensure_ascii=False))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; elsewhere than on a terminal, lines with tabs."""
    cells = [[cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [list(columns), *cells]:
            print("\t".join(row))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console(highlight=False).print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """One thing, a line a field; those that are not set are left out."""
    print_rows(["field", "value"], [[name, value] for name, value in fields.items() if value is not None])


def cell(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name}={cell(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return str(value)


def sparkline(values: Sequence[float], width: int = 30) -> str:
    """Numbers as a line of bars; of more than ``width``, evenly chosen ones and the last."""
    if len(values) > width:
        values = [values[round(index * (len(values) - 1) / (width - 1))] for index in range(width)]
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] if value in finite else " " for value in values)


@contextmanager
def sending(text: str) -> Iterator[OnProgress | None]:
    """A bar of bytes on a terminal, a line elsewhere."""
    if not errors.is_terminal:
        print(text, file=sys.stderr)
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
