"""The comparison as Markdown."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.harness import Row, Value, markdown_table, median, numbers, ratio, select


def write_tables(rows: Sequence[Row], path: Path) -> None:
    """One table a part, set and size: mean and spread over seeds, size and cost."""
    places = dict.fromkeys(
        (row["part"], row["set"], row["size"])
        for row in rows
        if not str(row["part"]).startswith(("teacher", "latency"))
    )
    text = ["# Methods and their controls\n"]
    for part, name, size in places:
        text.append(f"\n## {part}: {name}{f', {size}' if size else ''}\n")
        text.append(markdown_table([*_teacher(rows, name), *_students(rows, part, name, size)]))
    path.write_text("\n".join(text) + "\n")


def _teacher(rows: Sequence[Row], name: Value) -> list[dict[str, Value]]:
    return [_line("teacher", select(rows, part="teacher", set=name), None) | _latency([])]


def _students(rows: Sequence[Row], part: Value, name: Value, size: Value) -> list[dict[str, Value]]:
    there = select(rows, part=part, set=name, size=size)
    plain = median(there, "seconds_per_step", variant="scratch")
    variants = dict.fromkeys(str(row["variant"]) for row in there)
    latencies = select(rows, part=f"latency {part}", set=name, size=size)
    return [
        _line(variant, select(there, variant=variant), plain) | _latency(select(latencies, variant=variant))
        for variant in variants
    ]


def _latency(rows: Sequence[Row]) -> dict[str, Value]:
    """Milliseconds of one text and of 32, and how many times faster than the teacher that is."""
    return {
        f"{precision} ms, {count}": _beside(
            median(rows, f"{precision}_ms_{count}"), median(rows, f"teacher_{precision}_ms_{count}")
        )
        for precision in ("fp32", "int8")
        for count in (1, 32)
    }


def _beside(own_ms: float | None, teacher_ms: float | None) -> str:
    speed = ratio(teacher_ms, own_ms)
    return "-" if speed is None else f"{own_ms:.3g} ({speed:.3g} x)"


def _line(name: str, rows: Sequence[Row], plain: float | None) -> dict[str, Value]:
    found = numbers(rows, "dev")
    return {
        "method": name,
        "dev": f"{fmean(found):.2f}" if found else "-",
        "lowest to highest": f"{min(found):.2f} to {max(found):.2f}" if len(found) > 1 else "-",
        "seeds": len(found),
        "parameters": median(rows, "parameters"),
        "fp32 MB": median(rows, "fp32_mb"),
        "int8 MB": median(rows, "int8_mb"),
        "step / scratch": ratio(median(rows, "seconds_per_step"), plain),
        "wall-clock s": median(rows, "wall_s"),
    }
