"""The code blocks of a page of the documentation."""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parent.parent.parent / "docs"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """In the order of the page, with its path in the documentation."""
    return [Block(*match) for match in _BLOCK.findall((DOCS / page).read_text())]
