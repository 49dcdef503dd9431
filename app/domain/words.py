"""Words and punctuation marks of a text: what lengths are counted in, and what tokens a plain text has."""

import re
import unicodedata
from itertools import groupby


def _is_mark(code: int) -> bool:
    return unicodedata.category(chr(code)).startswith("M")


_RUNS = [list(run) for is_mark, run in groupby(range(0x300, 0x1E94B), _is_mark) if is_mark]
# As ranges: beyond U+FFFF an expression compares each item of a set with each character of a text.
_MARKS = "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in _RUNS)
_MARKS += "\u200c\u200d"  # joiners within words, of Persian and of the scripts of India
_WORD = re.compile(rf"\w[\w{_MARKS}]*|[^\w\s][{_MARKS}]*")
_ASCII_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores with their marks; any other character but space alone.

    >>> words("It's fine.")
    ['It', "'", 's', 'fine', '.']
    """
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def word_offsets(text: str) -> list[tuple[int, int]]:
    """Where in a text its words begin and end."""
    return [found.span() for found in (_ASCII_WORD if text.isascii() else _WORD).finditer(text)]
