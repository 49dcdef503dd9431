"""Answers to questions: what they are, and where in the context they begin."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from app.domain.documents.manifest import Split
from app.domain.errors import InvalidRequest
from app.intake.datasets.cells import cell, kind, require_whole_characters
from app.intake.datasets.notes import Notes
from app.intake.datasets.rows import LeftOutRow, Place, Row

_IMPOSSIBLE: Final = "is_impossible"
_MOVED: Final = "answers that answer_start does not lead to, and that the context has once"
_PLACED: Final = "answers without answer_start, that the context has once"
_STRIPPED: Final = "answers with spaces at their ends, which were cut off"


class Answers:
    """Answers that the context has at their places; where it does not, they are looked for.

    A cell has ``{"text": [...], "answer_start": [...]}``, as the library ``datasets`` has it, or a list of
    ``{"text": ..., "answer_start": ...}``, as SQuAD's files have it, or JSON of either; or texts without
    their places, as language models give them.
    """

    name = "answers"
    type = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])

    def __init__(self, column: str, notes: Notes) -> None:
        self._column = column
        self._notes = notes
        self._rows: defaultdict[Split, Counter[bool]] = defaultdict(Counter)
        """By whether they have an answer."""

    def column_of(self, _row: Row, /) -> str:
        return self._column

    def read(self, row: Row, place: Place, asked: Row, /) -> dict[str, list[Any]]:
        value = cell(
            row, self._column, place, absent="Questions without answers belong in the split 'unlabeled'."
        )
        given = [] if row.get(_IMPOSSIBLE) is True else _pairs(_parsed(value, place), place)
        found = [self._found(text, start, asked["context"], place) for text, start in given]
        self._rows[place.split][bool(found)] += 1
        return {"text": [text for text, _ in found], "answer_start": [start for _, start in found]}

    def settle(self) -> list[str]:
        if not self._rows["train"][True]:
            raise InvalidRequest(
                "too_few_answers",
                "No question of train has an answer. Upload questions whose context has one.",
                pointer="#/train",
            )
        return []

    def summary(self, split: Split) -> dict[str, Any]:
        return {"unanswerable": self._rows[split][False]}

    def _found(self, text: str, start: int | None, context: str, place: Place) -> tuple[str, int]:
        """An answer and where it begins.

        Raises:
            LeftOutRow: the context does not have it there, and elsewhere not just once.
        """
        require_whole_characters(text, self._column, place)
        stripped = text.strip()
        if not stripped:
            raise place.fault(
                "invalid_answers", "an answer is empty. Write no answer at all where the context has none."
            )
        repaired = self._notes.repaired[place.split]
        if stripped != text:
            repaired[_STRIPPED] += 1
            start = None if start is None else start + len(text) - len(text.lstrip())
        if start is not None and start >= 0 and context[start : start + len(stripped)] == stripped:
            return stripped, start
        first = context.find(stripped)
        if first < 0:
            raise LeftOutRow("the context does not have the answer")
        if context.find(stripped, first + 1) >= 0:
            where = (
                "none where answer_start is" if start is not None else "no answer_start says which is meant"
            )
            raise LeftOutRow(f"the context has the answer several times, and {where}")
        repaired[_PLACED if start is None else _MOVED] += 1
        return stripped, first


def _parsed(value: Any, place: Place) -> Any:
    """What a cell of text writes as JSON; anything else as it is."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith(("[", "{")):
        return [value]
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise _fault(place, value, "In .csv and .tsv write them as JSON") from None


def _pairs(value: Any, place: Place) -> list[tuple[str, int | None]]:
    """Texts and where they begin, as far as that is said."""
    answers = [value] if isinstance(value, Mapping) else value
    if not isinstance(answers, list):
        raise _fault(place, value)
    found: list[tuple[str, int | None]] = []
    for answer in answers:
        if isinstance(answer, str):
            found.append((answer, None))
            continue
        if not isinstance(answer, Mapping) or "text" not in answer:
            raise _fault(place, value)
        texts, starts = answer["text"], answer.get("answer_start")
        texts = texts if isinstance(texts, list) else [texts]
        starts = starts if isinstance(starts, list) else [starts] * len(texts)
        if len(texts) != len(starts):
            raise _fault(place, value, "'text' and 'answer_start' must be of one length")
        for text, start in zip(texts, starts, strict=True):
            is_place = start is None or (isinstance(start, int) and not isinstance(start, bool))
            if not isinstance(text, str) or not is_place:
                raise _fault(place, value)
            found.append((text, start))
    return found


def _fault(place: Place, value: Any, advice: str = "") -> InvalidRequest:
    advice = advice or 'Write {"text": ["..."], "answer_start": [0]}, with empty lists where there is none'
    return place.fault("invalid_answers", f"the answers are {kind(value)}. {advice}.")
