"""Opens an untrusted ``tokenizer.json``: as JSON, then as a tokenizer, then on timed texts.

Runs in a process with limits: each of the three can take any amount of time and memory.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from tokenizers import Tokenizer

from app.intake.models.tokenizer_bounds import costly_tokens, patterns, unbounded_part

_CHARACTERS = (100, 1_000, 10_000)
"""Short texts first: they tell soon enough what is far too slow."""

_FIXED_S = 0.05
_S_PER_CHARACTER = 5e-5
"""CPU time to encode and decode. Real tokenizers need 2e-7 to 2e-6, in the worst of words 1e-5."""

_FIXED_TOKENS = 64
_TOKENS_PER_CHARACTER = 8
"""Bytes of a character, of which there are at most four, are tokens of some tokenizers."""

_SHOWN = 200  # characters of an error

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


class Probe(TypedDict):
    source: str
    """Path of a ``tokenizer.json``."""
    target: str
    """Path for a copy without truncation and padding, written where nothing is wrong."""
    vocabulary: int
    """Rows of the embeddings."""


def check_tokenizers(probes: list[Probe]) -> str | None:
    """What is wrong with one of the tokenizers, as the end of a sentence; None where nothing is."""
    for probe in probes:
        try:
            raw = json.loads(Path(probe["source"]).read_bytes())
        except (ValueError, RecursionError) as error:
            return f"cannot be read (tokenizer.json: {str(error)[:_SHOWN]})"
        if not isinstance(raw, dict):
            return "cannot be read (tokenizer.json is not a JSON object)"
        if (found := _check(raw, probe)) is not None:
            return found
    return None


def _check(raw: dict[str, Any], probe: Probe) -> str | None:
    try:
        unbounded = unbounded_part(raw, vocabulary=probe["vocabulary"])
        texts = [*_REPEATED, *filter(None, [*patterns(raw), *costly_tokens(raw)])]
    except (RecursionError, AttributeError, TypeError, LookupError, ValueError) as error:
        return f"cannot be read ({str(error)[:_SHOWN]})"
    if unbounded is not None:
        return unbounded
    content = json.dumps(raw | {"truncation": None, "padding": None})
    raw.clear()  # the library needs as much memory again
    try:
        with library_errors():
            tokenizer = Tokenizer.from_str(content)
    except LibraryError as error:
        return f"cannot be read ({error})"
    for text in texts:
        if (found := _expensive(tokenizer, text)) is not None:
            return found
    Path(probe["target"]).write_text(tokenizer.to_str(), "utf-8")
    return None


def _expensive(tokenizer: Tokenizer, repeated: str) -> str | None:
    for characters in _CHARACTERS:
        text = (repeated * (characters // len(repeated) + 1))[:characters]
        before = time.process_time()
        tokens = _tokens(tokenizer, text)
        spent_s = time.process_time() - before
        what = f"a text of {characters:,} characters that repeats {repeated[:20]!r}"
        if spent_s > _allowed_s(characters):
            return f"is too slow: {spent_s * 1e3:,.0f} ms of CPU time for {what}"
        if tokens > _FIXED_TOKENS + _TOKENS_PER_CHARACTER * characters:
            return f"is too expensive: {tokens:,} tokens for {what}"
        longest = _CHARACTERS[-1]
        # No step of a tokenizer takes more than quadratic time, so that most shorter texts already tell.
        if characters > 4 * len(repeated) and spent_s * (longest / characters) ** 2 < _allowed_s(longest):
            break
    return None


def _allowed_s(characters: int) -> float:
    return _FIXED_S + _S_PER_CHARACTER * characters


def _tokens(tokenizer: Tokenizer, text: str) -> int:
    """Encode and decode a text. A tokenizer that fails here is reported by its next user."""
    ids: list[int] = []
    with suppress(LibraryError), library_errors():
        ids = tokenizer.encode(text).ids
        tokenizer.decode(ids)
    return len(ids)


class LibraryError(Exception):
    """What the library says that is wrong."""


@contextmanager
def library_errors() -> Iterator[None]:
    """Raise what the library raises as one error.

    Raises:
        LibraryError: in place of all that it raises, but for want of memory.
    """
    try:
        yield
    except MemoryError:
        raise
    except BaseException as error:
        # The library raises nothing narrower than Exception, and its panics are not even that.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise LibraryError(str(error)[:_SHOWN]) from None
        raise
