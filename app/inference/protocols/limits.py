"""How much a request for predictions may hold, in any protocol."""

from typing import Final

MAX_INPUTS: Final = 1024
MAX_CHARACTERS: Final = 100_000
"""Of a text: far beyond any model's truncation, and cheap to tokenise."""
