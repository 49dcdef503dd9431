"""Named entities as spans: from tags to entities, and how many were found.

The rules are seqeval's default ones, which those of the CoNLL script are: a tag I-X that does not go on an
entity X begins one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from worker.contracts import IntArray


class Span(NamedTuple):
    """An entity: its kind, its first word, and the one after its last."""

    kind: str
    start: int
    end: int


def spans(tags: Sequence[str]) -> Iterator[Span]:
    """The entities of one sentence's tags."""
    kind, start = "", 0
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            yield Span(kind, start, index)
            kind = ""
        if prefix != "O" and not kind:
            kind, start = name, index


def span_f1(
    truth: IntArray,
    predictions: IntArray,
    offsets: IntArray,
    *,
    labels: list[str],
    rows: IntArray | None = None,
) -> dict[str, float]:
    """Precision, recall and F1 of entities whose kind, start and end are all right.

    Args:
        truth: (P,) indices into ``labels``, the sentences laid end to end.
        predictions: (P,).
        offsets: (sentences + 1,): where each begins.
        labels: the tags.
        rows: the sentences that count; default: all.
    """
    right, found, there = 0, 0, 0
    for row in range(len(offsets) - 1) if rows is None else rows:
        begin, end = offsets[row], offsets[row + 1]
        true, predicted = (
            set(spans([labels[tag] for tag in tags[begin:end]])) for tags in (truth, predictions)
        )
        right += len(true & predicted)
        found += len(predicted)
        there += len(true)
    return {
        "f1": 2 * right / (found + there) if found + there else 0.0,
        "precision": right / found if found else 0.0,
        "recall": right / there if there else 0.0,
    }
