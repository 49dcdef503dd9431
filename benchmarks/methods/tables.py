"""The comparison as Markdown."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.harness import Row, Value, markdown_table, median, numbers, ratio, select


def write_tables(rows: Sequence[Row], path: Path) -> None:
    """One table a part, set and size: mean and spread over seeds, size and cost."""
    places = dict.fromkeys((row["part"], row["set"], row["size"]) for row in rows if row["part"] != "teacher")
    text = ["# Methods and their controls\n"]
    for part, name, size in places:
        text.append(f"\n## {part}: {name}{f', {size}' if size else ''}\n")
        text.append(markdown_table([*_teacher(rows, name), *_students(rows, part, name, size)]))
    path.write_text("\n".join(text) + "\n")


def _teacher(rows: Sequence[Row], name: Value) -> list[dict[str, Value]]:
    source = "sst2" if name == "sst2_sentences" else name
    return [_line("teacher", select(rows, part="teacher", set=source), None)]


def _students(rows: Sequence[Row], part: Value, name: Value, size: Value) -> list[dict[str, Value]]:
    there = select(rows, part=part, set=name, size=size)
    plain = median(there, "seconds_per_step", variant="scratch")
    variants = dict.fromkeys(str(row["variant"]) for row in there)
    return [_line(variant, select(there, variant=variant), plain) for variant in variants]


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
        "ms, 1 text": median(rows, "fp32_ms_1"),
        "ms, 32 texts": median(rows, "fp32_ms_32"),
        "step / scratch": ratio(median(rows, "seconds_per_step"), plain),
        "wall-clock s": median(rows, "wall_s"),
    }
