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


def too_many_bytes(place: Place, max_bytes: int) -> TooLarge:
    return TooLarge(
        "dataset_too_large",
        f"{place.split}: the file exceeds the decompression limit of {max_bytes:,} bytes for its size. "
        "Upload fewer rows or the uncompressed file.",
        max_bytes=max_bytes,
    )
