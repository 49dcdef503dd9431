"""What every reader of tables yields, where it stands meanwhile, and what is too much for all of them."""

from dataclasses import dataclass
from typing import Any, Final

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest, TooLarge

Row = dict[str, Any]

MAX_ROW_BYTES: Final = 2**20
LIST_ITEM_BYTES: Final = 16
"""What an item of a list costs beyond its characters, or a number for want of any."""


@dataclass
class Place:
    """Where in an upload a reader stands, for messages."""

    split: Split
    unit: str
    number: int = 0

    def fault(self, code: str, what: str, **details: Any) -> InvalidRequest:
        return InvalidRequest(
            code,
            f"{self.split}, {self.unit} {self.number:,}: {what}",
            pointer=f"#/{self.split}",
            **{self.unit: self.number},
            **details,
        )


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
