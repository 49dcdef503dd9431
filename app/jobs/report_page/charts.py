"""Charts as geometry: where lines, ticks and cells lie in a picture. The template draws them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

WIDTH: Final = 460
HEIGHT: Final = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 40
_TICKS: Final = 5
_INTERVAL_ROW: Final = 26
_INTERVAL_LEFT: Final = 220
_CELL: Final = 26
_LABEL: Final = 130
_LONGEST_LABEL: Final = 18

Points = Sequence[tuple[float, float]]


class Tick(NamedTuple):
    """A place on an axis, in the picture, and its number."""

    at: float
    label: str


class Line(NamedTuple):
    """A curve: its name, and its points as SVG writes them."""

    name: str
    points: str


@dataclass(frozen=True)
class LineChart:
    """Curves over one axis."""

    title: str
    x_name: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line]
    diagonal: str = ""
    """From corner to corner, as points; empty where it means nothing."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


class IntervalRow(NamedTuple):
    """A value and its interval on a horizontal axis, in the picture."""

    name: str
    y: float
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class IntervalChart:
    """Values below each other, each with its interval."""

    title: str
    rows: Sequence[IntervalRow]
    ticks: Sequence[Tick]
    height: int
    width: int = 2 * WIDTH - 200
    left: int = _INTERVAL_LEFT

    @property
    def bottom(self) -> int:
        return self.height - 24


class Cell(NamedTuple):
    """A count: where it lies, how dark it is, and whether it is on the diagonal."""

    x: float
    y: float
    rows: int
    opacity: float
    is_right: bool


@dataclass(frozen=True)
class HeatMap:
    """Counts of labels by answers."""

    title: str
    labels: Sequence[str]
    cells: Sequence[Cell]
    cell: int = _CELL
    margin: int = _LABEL

    @property
    def side(self) -> int:
        return self.margin + self.cell * len(self.labels) + 4

    def middle(self, number: int) -> float:
        """Of a row or a column."""
        return self.margin + self.cell * (number + 0.5)


def line_chart(
    title: str,
    series: Mapping[str, Points],
    *,
    x_name: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    has_diagonal: bool = False,
) -> LineChart | None:
    """Curves by name, each of (x, y); ranges default to what they hold. None where there is no point."""
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    x = _Axis(x_range or _range(x for x, _ in points), (_LEFT, WIDTH - _RIGHT))
    y = _Axis(y_range or _range(y for _, y in points), (HEIGHT - _BOTTOM, _TOP))

    def written(line: Points) -> str:
        return " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in line)

    return LineChart(
        title=title,
        x_name=x_name,
        x_ticks=list(x.ticks()),
        y_ticks=list(y.ticks()),
        lines=[Line(name, written(line)) for name, line in series.items()],
        diagonal=written([(0, 0), (1, 1)]) if has_diagonal else "",
    )


def interval_chart(
    title: str, values: Mapping[str, tuple[float, float | None, float | None]]
) -> IntervalChart:
    """Of a value, and between which it lies, by name."""
    spread = [one for value in values.values() for one in value if one is not None]
    height = _TOP + _INTERVAL_ROW * len(values) + 24
    axis = _Axis(_range(spread), (_INTERVAL_LEFT, 2 * WIDTH - 200 - _RIGHT))
    rows = []
    for number, (name, (value, low, high)) in enumerate(values.items()):
        at = axis.place(value)
        rows.append(
            IntervalRow(
                name,
                _TOP + _INTERVAL_ROW * (number + 0.5),
                at,
                at if low is None else axis.place(low),
                at if high is None else axis.place(high),
            )
        )
    return IntervalChart(title, rows, list(axis.ticks()), height)


def heat_map(title: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> HeatMap:
    """Rows are labels, columns answers; a cell is as dark as its share of its row."""
    cells = [
        Cell(
            _LABEL + _CELL * column,
            _LABEL + _CELL * row,
            count,
            round(count / max(1, sum(line)), 3),
            row == column,
        )
        for row, line in enumerate(counts)
        for column, count in enumerate(line)
        if count
    ]
    return HeatMap(title, [_short(label) for label in labels], cells)


class _Axis:
    """From numbers to places in the picture."""

    def __init__(self, values: tuple[float, float], places: tuple[float, float]) -> None:
        self._low, self._high = values
        self._begin, self._end = places

    def place(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)

    def ticks(self) -> Iterator[Tick]:
        """Round numbers, about five."""
        rough = (self._high - self._low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self._low / step - 1e-9)
        for number in range(first, math.floor(self._high / step + 1e-9) + 1):
            yield Tick(round(self.place(number * step), 1), f"{number * step:.10g}")


def _range(values: "Iterator[float] | Sequence[float]") -> tuple[float, float]:
    """From the least to the greatest, with some room."""
    found = list(values)
    low, high = min(found), max(found)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
