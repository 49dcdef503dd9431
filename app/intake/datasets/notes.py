"""What is said of how tables were read: nothing is left out, repaired or assumed in silence."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.documents.manifest import Split
from app.domain.documents.table_reading import LeftOut
from app.intake.datasets.rows import SHOWN_ROWS


class LeftOutRows:
    """Rows that are no part of a split: how many for which reason, and where the first of them are."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, reason: str, first: Sequence[int], count: int = 1) -> None:
        """Rows of which the first are those with these numbers."""
        self._counts[reason] += count
        room = SHOWN_ROWS - len(self._first[reason])
        self._first[reason] += first[:room]

    def total(self) -> int:
        return self._counts.total()

    def listed(self) -> list[LeftOut]:
        return [
            LeftOut(reason=reason, rows=count, first=self._first[reason])
            for reason, count in self._counts.items()
            if count
        ]

    def __str__(self) -> str:
        return ", ".join(f"{entry.rows:,} where {entry.reason}" for entry in self.listed())


@dataclass
class Notes:
    """Of all tables of a data set."""

    left_out: defaultdict[Split, LeftOutRows] = field(default_factory=lambda: defaultdict(LeftOutRows))
    repaired: defaultdict[Split, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _warnings: dict[str, None] = field(default_factory=dict)

    def warn(self, sentence: str) -> None:
        """What was assumed, and what to do where it is wrong."""
        self._warnings[sentence] = None

    @property
    def warnings(self) -> list[str]:
        return list(self._warnings)
