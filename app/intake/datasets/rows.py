"""What every reader of tables yields, where it stands meanwhile, and what is too much for all of them."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest, TooLarge

Row = dict[str, Any]

MAX_ROW_BYTES: Final = 2**20
LIST_ITEM_BYTES: Final = 16
"""What an item of a list costs beyond its characters, or a number for want of any."""

SHOWN_ROWS: Final = 10


class BadRow(InvalidRequest):
    """A fault of one row. Others are still read, so that a client learns of more than the first."""


class LeftOutRow(Exception):  # noqa: N818 - nothing is wrong
    """Says of a row that it is no part of the data set."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Place:
    """Where in an upload a reader stands, for messages."""

    split: Split
    unit: str
    number: int = 0
    file: str = ""
    """Within an archive."""

    def fault(self, code: str, what: str, **details: Any) -> BadRow:
        """A fault of the row, after which others can be read."""
        return BadRow(code, **self._located(what), **details)

    def fatal(self, code: str, what: str, **details: Any) -> InvalidRequest:
        """A fault after which nothing else can be read."""
        return InvalidRequest(code, **self._located(what), **details)

    @property
    def _file(self) -> str:
        return f"{self.file}, " if self.file else ""

    def _located(self, what: str) -> dict[str, Any]:
        return {
            "message": f"{self.split}, {self._file}{self.unit} {self.number:,}: {what}",
            "pointer": f"#/{self.split}",
            self.unit: self.number,
        }


class BadRows:
    """Faults of the rows of a data set: all are counted, the first ten are named."""

    def __init__(self) -> None:
        self._first: list[BadRow] = []
        self._count: Counter[str] = Counter()
        """By pointer, which names the split."""

    def add(self, row: BadRow) -> None:
        if len(self._first) < SHOWN_ROWS:
            self._first.append(row)
        self._count[str(row.pointer)] += 1

    def of(self, split: Split) -> int:
        """How many there are."""
        return self._count[f"#/{split}"]

    def raise_any(self) -> None:
        """Raises InvalidRequest where there are some: the first in full, the others in brief."""
        if not self._first:
            return
        first, *others = self._first
        message = first.message
        if others:
            listed = "; ".join(map(_brief, others))
            counts = ", ".join(f"{n:,} in {split[2:]}" for split, n in self._count.items())
            more = "; ..." if self._count.total() > len(self._first) else ""
            message += (
                f" In all, {self._count.total():,} rows have faults ({counts}); the next: {listed}{more}."
            )
        raise InvalidRequest(
            first.code,
            message,
            pointer=first.pointer,
            **first.details,
            bad_row_count=self._count.total(),
            bad_rows=[{"code": row.code, "detail": row.message} for row in self._first],
        )


def _brief(row: BadRow) -> str:
    """What is wrong, without what to do about it."""
    return row.message.partition(". ")[0].rstrip(".")


class RowBudget:
    """Rows that a data set may still have, over all its splits. Blank lines count: they take time, too."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._left = max_rows

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooLarge(
                "too_many_rows",
                f"The data set exceeds the limit of {self._max_rows:,} rows. Upload fewer rows.",
                max_rows=self._max_rows,
            )


def too_many_bytes(place: Place, max_bytes: int) -> TooLarge:
    return TooLarge(
        "dataset_too_large",
        f"{place.split}: the file exceeds the decompression limit of {max_bytes:,} bytes for its size. "
        "Upload fewer rows or the uncompressed file.",
        max_bytes=max_bytes,
    )
