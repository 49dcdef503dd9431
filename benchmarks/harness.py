"""What every benchmark shares: rows that survive an interruption, and goals that can be checked.

A benchmark measures rows, each under a key, and is held to goals::

    bench = Benchmark("speed", keys=("model", "round"), goals=[
        Goal("at least 100 a second", lambda rows: median(rows, "rate", model="small"), at_least=100),
    ])

    def measure(options: argparse.Namespace) -> None:
        for number in range(options.rounds):
            bench.run(("small", number), lambda: {"rate": rate_of("small")})

    if __name__ == "__main__":
        sys.exit(bench.main(measure, parser))

``bench.run`` keeps a row that is there already, so that a stopped benchmark goes on where it was.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | bool | None
Row: TypeAlias = dict[str, Value]

RESULTS = Path(__file__).parent / "results"

_PACKAGES = ("torch", "transformers", "onnxruntime", "tokenizers", "numpy", "fastapi", "starlette", "uvicorn")


@dataclass(frozen=True)
class Goal:
    """A claim in the words of whoever set it, and how the rows answer it.

    ``reached`` gives None while rows are missing.
    """

    text: str
    reached: Callable[[Sequence[Row]], float | None]
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"goal {self.text!r}: give one of at_least and at_most")

    def is_met(self, reached: float | None) -> bool:
        if reached is None:
            return False
        if self.at_least is not None:
            return reached >= self.at_least
        return self.at_most is not None and reached <= self.at_most


class Benchmark:
    """Rows in ``results/<name>.json``, written after each one.

    Args:
        name: of the module and of the result.
        keys: the columns that name a row.
        goals: what the rows are held to.
        results: the folder of the result.
    """

    def __init__(
        self, name: str, *, keys: Sequence[str], goals: Sequence[Goal], results: Path = RESULTS
    ) -> None:
        self.name = name
        self.rows: list[Row] = []
        self._keys = tuple(keys)
        self.goals = goals
        self._path = results / f"{name}.json"
        self._head: dict[str, Any] = {}

    def main(
        self,
        measure: Callable[[argparse.Namespace], None],
        parser: argparse.ArgumentParser,
        arguments: Sequence[str] | None = None,
        *,
        selects: Sequence[str] = (),
    ) -> int:
        """Measure what is missing, or check what is there; 0 where every goal is met.

        Args:
            measure: calls ``run`` for each row.
            parser: the benchmark's own options; ``--check`` and ``--fresh`` are added.
            arguments: default: those of the command line.
            selects: options that choose rows. All others are conditions: rows taken under other ones are
                not gone on with.
        """
        parser.add_argument("--out", type=Path, default=self._path, help="the result")
        parser.add_argument("--check", action="store_true", help="read the result back and compare it")
        parser.add_argument("--fresh", action="store_true", help="start anew, not where the last run stopped")
        options = parser.parse_args(arguments)
        self._path = options.out
        if options.check:
            return self._check()
        chosen = {"check", "fresh", "out", *selects}
        conditions = {name: str(value) for name, value in vars(options).items() if name not in chosen}
        self._begin(conditions, is_fresh=options.fresh, command=_command(arguments))
        try:
            measure(options)
        except KeyboardInterrupt:
            say(f"stopped after {len(self.rows)} rows; the same command goes on from there")
            return 130
        self._head["finished"] = _now()
        self._write()
        return self._check()

    def run(self, key: Sequence[Value], measure: Callable[[], Mapping[str, Value]]) -> Row:
        """The row of this key, measured now unless an earlier run has it."""
        named: Row = dict(zip(self._keys, key, strict=True))
        label = " ".join(str(value) for value in key)
        found = next((row for row in self.rows if named.items() <= row.items()), None)
        if found is not None:
            say(f"{label}: kept")
            return found
        started = time.perf_counter()
        row = {**named, **measure(), "commit": self._head["commit"]}
        say(f"{label}: {time.perf_counter() - started:.1f} s")
        self.rows.append(row)
        self._write()
        return row

    def _begin(self, conditions: dict[str, str], *, is_fresh: bool, command: str) -> None:
        self.rows = []
        if self._path.exists() and not is_fresh:
            earlier = json.loads(self._path.read_text())
            if earlier["conditions"] != conditions:
                raise SystemExit(
                    f"{self._path} was measured with {earlier['conditions']}, this is {conditions}: "
                    "repeat that command, or start anew with --fresh."
                )
            self.rows = earlier["rows"]
        self._head = {
            "benchmark": self.name,
            "command": command,
            "conditions": conditions,
            "commit": _commit(),
            "machine": _machine(),
            "started": _now(),
            "finished": None,
        }

    def _write(self) -> None:
        goals = [{"goal": goal.text, "reached": goal.reached(self.rows)} for goal in self.goals]
        document = {**self._head, "goals": goals, "rows": self.rows}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(document, indent=1) + "\n")
        partial.replace(self._path)

    def _check(self) -> int:
        if not self._path.exists():
            print(f"{self._path} is not there: run python -m benchmarks.{self.name} first")
            return 1
        document = json.loads(self._path.read_text())
        print(f"{self.name}: {len(document['rows'])} rows, {document['started']}, {document['commit']}")
        is_met = True
        for goal in self.goals:
            reached = goal.reached(document["rows"])
            is_met &= goal.is_met(reached)
            shown = "not measured" if reached is None else f"{reached:.4g}"
            print(f"  {'met  ' if goal.is_met(reached) else 'SHORT'} {shown:>12}   {goal.text}")
        return 0 if is_met else 1


def select(rows: Sequence[Row], **where: Value) -> list[Row]:
    """The rows with these values."""
    return [row for row in rows if where.items() <= row.items()]


def numbers(rows: Sequence[Row], column: str, **where: Value) -> list[float]:
    """A column of the rows with these values; rows that lack it are left out."""
    values = (row.get(column) for row in select(rows, **where))
    return [float(value) for value in values if isinstance(value, int | float)]


def median(rows: Sequence[Row], column: str, **where: Value) -> float | None:
    found = numbers(rows, column, **where)
    return statistics.median(found) if found else None


def mean(rows: Sequence[Row], column: str, **where: Value) -> float | None:
    found = numbers(rows, column, **where)
    return statistics.fmean(found) if found else None


def ratio(part: float | None, whole: float | None) -> float | None:
    """None while either is missing."""
    return part / whole if part is not None and whole else None


def print_table(rows: Sequence[Mapping[str, Value]]) -> None:
    if rows:
        print(markdown_table(rows))


def markdown_table(rows: Sequence[Mapping[str, Value]]) -> str:
    """Rows with the same columns."""
    cells = [list(rows[0])] + [[_shown(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = []
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress, apart from the output."""
    print(f"{datetime.now(tz=UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _shown(value: Value) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def _command(arguments: Sequence[str] | None) -> str:
    given = sys.argv[1:] if arguments is None else arguments
    path = Path(sys.argv[0])
    module = path.parent.name if path.stem == "__main__" else path.stem
    return " ".join(["python", "-m", f"benchmarks.{module}", *given])


def _commit() -> str:
    """The commit, marked where tracked files differ from it; results are no difference."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}{'-dirty' if changed else ''}"


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent.parent
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
