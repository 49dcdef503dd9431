"""Opens an untrusted ``tokenizer.json``: as JSON, then as a tokenizer, then on timed texts.

Runs in a process with limits: each of the three can take any amount of time and memory.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from app.intake.models.tokenizer_bounds import costly_tokens, patterns, unbounded_part

_CHARACTERS = (100, 1_000, 2_500, 10_000)
"""Short texts first: they tell soon enough what is far too slow, and mostly that the longest would not be."""

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


class UnsoundTokenizerError(ValueError):
    """A ``tokenizer.json`` cannot be taken; the end of a sentence about it."""


def read_tree(path: Path, *, vocabulary: int) -> dict[str, Any]:
    """A ``tokenizer.json`` as JSON, of which a tokenizer may be built.

    Args:
        path: of the file.
        vocabulary: rows of the embeddings.

    Raises:
        UnsoundTokenizerError: it is no JSON object, or a part of it is not bounded.
    """
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UnsoundTokenizerError(f"cannot be read ({path.name}: {str(error)[:_SHOWN]})") from None
    if not isinstance(tree, dict):
        raise UnsoundTokenizerError(f"cannot be read ({path.name} is not a JSON object)")
    _require_bounded(tree, vocabulary)
    return tree


def build_checked(tree: dict[str, Any], *, vocabulary: int) -> Tokenizer:
    """A tokenizer that is bounded and not slow, without truncation and padding.

    Args:
        tree: what ``tokenizer.json`` says; it is emptied, since the library needs as much memory again.
        vocabulary: rows of the embeddings.

    Raises:
        UnsoundTokenizerError: a part of it is not bounded, or it takes too long over a text.
    """
    texts = [*_REPEATED, *_require_bounded(tree, vocabulary)]
    content = json.dumps(tree | {"truncation": None, "padding": None})
    tree.clear()
    try:
        with library_errors():
            tokenizer = Tokenizer.from_str(content)
    except LibraryError as error:
        raise UnsoundTokenizerError(f"cannot be read ({error})") from None
    for text in texts:
        if (found := _expensive(tokenizer, text)) is not None:
            raise UnsoundTokenizerError(found)
    return tokenizer


def _require_bounded(tree: dict[str, Any], vocabulary: int) -> list[str]:
    """Raise where a part is not bounded; else the texts that cost the tokenizer most."""
    try:
        unbounded = unbounded_part(tree, vocabulary=vocabulary)
        texts = [*filter(None, [*patterns(tree), *costly_tokens(tree)])]
    except (RecursionError, AttributeError, TypeError, LookupError, ValueError) as error:
        raise UnsoundTokenizerError(f"cannot be read ({str(error)[:_SHOWN]})") from None
    if unbounded is not None:
        raise UnsoundTokenizerError(unbounded)
    return texts


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
