"""What a tokenizer costs to load and to run, tried out. Runs in a process of its own, with limits."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from tokenizers import Tokenizer

_CHARACTERS = (100, 1_000, 10_000)
"""Short texts first: they tell soon enough what is far too slow."""

_FIXED_S = 0.05
_S_PER_CHARACTER = 5e-5
"""CPU time to encode and decode. Real tokenizers need 2e-7 to 2e-6, in the worst of words 1e-5."""

_FIXED_TOKENS = 64
_TOKENS_PER_CHARACTER = 8
"""Bytes of a character, of which there are at most four, are tokens of some tokenizers."""

_REPEATED = (
    "abcdefghij",
    "a",
    " ",
    "the quick brown fox jumps over it. ",
    "It's 10:30, isn't it? (#1) ",
    "\u6f22\u5b57\u304b\u306a",  # Chinese and Japanese
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 ",  # Arabic
    "\U0001f600\U0001f44d\U0001f3fd",  # emoji, one with a modifier
    "e\u0301\u0302\u0323",  # combining marks
    "a" * 99 + " ",  # words as long as a word list's tokenizer takes them by default
)


class Task(TypedDict):
    path: str
    """Of a ``tokenizer.json``."""
    repeated: list[str]
    """Strings of this tokenizer's own, of which texts are made besides those of every tokenizer."""


def probe(tasks: list[Task]) -> str | None:
    """What is too expensive in one of the tokenizers, as the end of a sentence; None where all is well.

    What cannot be loaded or used at all is left to whoever loads it next, and reports it.
    """
    for task in tasks:
        tokenizer = None
        with _library_errors_ignored():
            tokenizer = Tokenizer.from_str(Path(task["path"]).read_text("utf-8"))
        if tokenizer is None:
            continue
        for repeated in (*_REPEATED, *filter(None, task["repeated"])):
            if (found := _expensive(tokenizer, repeated)) is not None:
                return found
    return None


def _expensive(tokenizer: Tokenizer, repeated: str) -> str | None:
    for characters in _CHARACTERS:
        text = (repeated * (characters // len(repeated) + 1))[:characters]
        before = time.process_time()
        tokens = _tokens(tokenizer, text)
        spent_s = time.process_time() - before
        what = f"a text of {characters:,} characters that repeats {repeated[:20]!r}"
        if spent_s > _FIXED_S + _S_PER_CHARACTER * characters:
            return f"is too slow: it takes {spent_s * 1e3:,.0f} ms of CPU time for {what}"
        if tokens > _FIXED_TOKENS + _TOKENS_PER_CHARACTER * characters:
            return f"is too expensive: it makes {tokens:,} tokens of {what}"
    return None


def _tokens(tokenizer: Tokenizer, text: str) -> int:
    """Encode and decode a text."""
    ids: list[int] = []
    with _library_errors_ignored():
        ids = tokenizer.encode(text).ids
        tokenizer.decode(ids)
    return len(ids)


@contextmanager
def _library_errors_ignored() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except BaseException as error:
        # The library raises nothing narrower than Exception, and its panics are not even that.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
