"""Named entities as spans of words.

The rules are seqeval's default ones, which those of the CoNLL script are: a tag I-X that does not go on an
entity X begins one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """An entity: its kind, its first word, and the one after its last."""

    kind: str
    start: int
    end: int


def spans(tags: Sequence[str]) -> Iterator[Span]:
    """The entities of one sentence's IOB2 tags."""
    kind, start = "", 0
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            yield Span(kind, start, index)
            kind = ""
        if prefix != "O" and not kind:
            kind, start = name, index
