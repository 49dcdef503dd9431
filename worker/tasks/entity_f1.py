"""How many named entities were found."""

from app.domain.entity_spans import Tagging
from worker.contracts import IntArray


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
        labels: the tags, of any scheme.
        rows: the sentences that count; default: all.
    """
    tagging = Tagging(labels)
    right, found, there = 0, 0, 0
    for row in range(len(offsets) - 1) if rows is None else rows:
        begin, end = offsets[row], offsets[row + 1]
        true, predicted = (set(tagging.spans(tags[begin:end].tolist())) for tags in (truth, predictions))
        right += len(true & predicted)
        found += len(predicted)
        there += len(true)
    return {
        "f1": 2 * right / (found + there) if found + there else 0.0,
        "precision": right / found if found else 0.0,
        "recall": right / there if there else 0.0,
    }
