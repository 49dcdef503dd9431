"""Words and punctuation marks of a text: what lengths are counted in, and what tokens a plain text has."""

import re
import unicodedata

_MARKS = "".join(chr(i) for i in range(0x300, 0x1E94B) if unicodedata.category(chr(i))[0] == "M")
_MARKS += "\u200c\u200d"  # joiners within words, of Persian and of the scripts of India
_WORD = re.compile(rf"\w[\w{_MARKS}]*|[^\w\s][{_MARKS}]*")
_ASCII_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores with their marks; any other character but space alone.

    >>> words("It's fine.")
    ['It', "'", 's', 'fine', '.']
    """
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)
