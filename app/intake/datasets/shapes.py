"""Rows whose columns are not the service's own: nested, named otherwise, or spans of characters.

A shape is found in the first row of a table and holds for all of it. The answer says what was taken for what.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.domain.errors import InvalidRequest
from app.domain.tasks import Task
from app.intake.datasets.cells import kind, listed
from app.intake.datasets.columns import TaskColumns
from app.intake.datasets.notes import Notes
from app.intake.datasets.readers import OpenTable
from app.intake.datasets.rows import LeftOutRow, Place, Row
from app.intake.datasets.spans import are_spans, tag_words

Convert = Callable[[Row, Place], Row]

_TRANSLATION: Final = "translation"
_ALIASES: Final = {"tokens": ("words",), "tags": ("ner_tags", "ner")}
_SPAN_COLUMNS: Final = ("entities", "spans", "ents", "label", "labels", "annotations", "tags", "ner")
_ANNOTATIONS: Final = ("annotations", "completions")
OTHER_COLUMNS: Final[dict[Task, Collection[str]]] = {
    "translation": (_TRANSLATION,),
    "token_classification": (*_ALIASES["tokens"], *_ALIASES["tags"], *_SPAN_COLUMNS, "data", *_ANNOTATIONS),
    "text_classification": ("cats", "data", *_ANNOTATIONS),
    "multi_label_classification": ("cats", "data", *_ANNOTATIONS),
    "question_answering": ("is_impossible",),
}
"""Columns that rows may have in place of those that are looked for."""

_PAIR_ALIASES: Final = (
    *(("sentence1", "sentence2"), ("sentence_A", "sentence_B"), ("sentence_a", "sentence_b")),
    *(("query", "passage"), ("query", "positive"), ("query", "document"), ("query", "answer")),
    *(("anchor", "positive"), ("question", "answer"), ("text1", "text2")),
)
_TEXT_ALIASES: Final = ("sentence", "query", "passage", "document")
_SCORE_ALIASES: Final = ("similarity_score", "similarity", "relatedness_score")
_LABEL, _NEGATIVE = "label", "negative"
OTHER_COLUMNS["sentence_embedding"] = (
    *dict.fromkeys(name for pair in _PAIR_ALIASES for name in pair),
    *("sentence", *_SCORE_ALIASES, _LABEL, _NEGATIVE),
)

_MARKS: Final = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
_CHOSEN: Final = 0.5
"""Score from which on spaCy's category is one of the text's."""

_SEVERAL: Final = "texts with several annotations, of which the first was taken"


@dataclass
class Shape:
    """How the rows of a table become rows with the columns of the task."""

    sources: dict[str, str] = field(default_factory=dict)
    """By field that is made of others: what it is made of."""
    steps: list[Convert] = field(default_factory=list)

    def row(self, row: Row, place: Place) -> Row:
        """Raises BadRow and LeftOutRow."""
        for convert in self.steps:
            row = convert(row, place)
        return row


def find_shape(
    task: Task, columns: TaskColumns, table: OpenTable, first: Row, notes: Notes, labels: Sequence[str]
) -> Shape:
    """The shape of a table; ``labels`` are the names that its client gives.

    Raises:
        LeftOutRow: the first row tells nothing.
        InvalidRequest: it may have more than one.
    """
    shape = Shape()
    finder = _Finder(columns, table, notes, shape, labels)
    row = first
    for found in finder.steps(task):
        if (convert := found(row)) is not None:
            shape.steps.append(convert)
            row = convert(row, table.place)
    return shape


@dataclass
class _Finder:
    """Looks at one row; each method gives a step, or None where rows need none."""

    columns: TaskColumns
    table: OpenTable
    notes: Notes
    shape: Shape
    labels: Sequence[str]

    def steps(self, task: Task) -> Iterator[Callable[[Row], Convert | None]]:
        yield self._annotated
        yield self._nested
        match task:
            case "translation":
                yield self._translated
            case "token_classification":
                yield self._numbered
                yield self._renamed
                yield self._marked
            case "sentence_embedding":
                yield self._paired
                yield self._told_alike
            case "text_classification" | "multi_label_classification":
                yield self._scored
                if task == "multi_label_classification":
                    yield self._in_columns

    def _annotated(self, first: Row) -> Convert | None:
        """Label Studio's tasks: what is annotated, under ``data``, and a list of annotations."""
        if not isinstance(first.get("data"), dict) or not any(name in first for name in _ANNOTATIONS):
            return None
        self.table.options["made by"] = "Label Studio"
        repaired = self.notes.repaired[self.table.place.split]

        def convert(row: Row, place: Place) -> Row:
            annotations = [
                annotation
                for name in _ANNOTATIONS
                for annotation in _list(row.get(name))
                if isinstance(annotation, dict) and not annotation.get("was_cancelled")
            ]
            if not annotations and place.split != "unlabeled":
                raise LeftOutRow("it has no annotation")
            repaired[_SEVERAL] += len(annotations) > 1
            data, results = row.get("data"), annotations[0].get("result") if annotations else None
            if not isinstance(data, dict):
                raise place.fault("invalid_task", "'data' is no object. Export the annotations again.")
            return _with_results(data, _list(results), place)

        return convert

    def _nested(self, first: Row) -> Convert | None:
        """Columns named as a path, such as ``translation.de``."""
        paths = {
            column: column.split(".")
            for name in self.columns.named
            if (column := self.columns[name]) not in first and column.partition(".")[0] in first
        }
        if not any(len(path) > 1 for path in paths.values()):
            return None

        def convert(row: Row, _place: Place) -> Row:
            return row | {column: _at(row, path) for column, path in paths.items()}

        return convert

    def _translated(self, first: Row) -> Convert | None:
        """A map from language to text."""
        sides = [name for name in ("source", "target") if self.columns[name] not in first]
        texts = first.get(_TRANSLATION)
        if not sides or not isinstance(texts, dict):
            return None
        languages = [language for language in texts if isinstance(language, str)]
        chosen = {side: self.columns[side] for side in sides if self.columns[side] in languages}
        left = [language for language in languages if language not in chosen.values()]
        missing = [side for side in sides if side not in chosen]
        if missing and (self.columns.named.intersection(missing) or len(left) != len(missing)):
            raise InvalidRequest(
                "unclear_direction",
                f"{self.table.place.split}: {_TRANSLATION!r} has the languages {listed(languages)}. Say "
                "which is which with columns, such as "
                f'{{"source": "{_TRANSLATION}.{languages[0] if languages else "en"}", "target": ...}}.',
                pointer="#/columns",
                languages=languages,
            )
        chosen |= dict(zip(missing, left, strict=False))
        self.shape.sources |= {side: f"{_TRANSLATION}.{language}" for side, language in chosen.items()}
        if len(missing) > 1:
            self.notes.warn(
                f"The source is {chosen['source']!r} and the target {chosen['target']!r}, in the order in "
                f"which {_TRANSLATION!r} has them. Name them in columns to translate the other way."
            )

        def convert(row: Row, _place: Place) -> Row:
            texts = row.get(_TRANSLATION) or {}
            found = {self.columns[side]: _at(texts, [language]) for side, language in chosen.items()}
            return row | found

        return convert

    def _numbered(self, _first: Row) -> Convert | None:
        """Columns without a header."""
        fields = {
            field_: column for field_, column in self.table.fields.items() if field_ not in self.columns.named
        }
        return self._copied(fields)

    def _renamed(self, first: Row) -> Convert | None:
        """Columns under the names that sets of the hub give them."""
        fields: dict[str, str] = {}
        for field_, names in _ALIASES.items():
            found = [name for name in names if name in first and _are_items(first[name])]
            if found and field_ not in self.columns.named and self.columns[field_] not in first:
                fields[field_] = found[0]
        return self._copied(fields)

    def _paired(self, first: Row) -> Convert | None:
        """Texts under the names that sets of sentence-transformers give them."""
        named, fields = self.columns.named, dict[str, str]()
        if not named & {"text", "text_pair"} and self.columns["text"] not in first:
            pair = next((pair for pair in _PAIR_ALIASES if set(pair) <= first.keys()), None)
            alone = [name for name in _TEXT_ALIASES if name in first]
            fields = dict(zip(("text", "text_pair"), pair or alone[:1], strict=False))
        score = next((name for name in _SCORE_ALIASES if name in first), None)
        if score is not None and "score" not in named and self.columns["score"] not in first:
            fields["score"] = score
        if _NEGATIVE in first:
            self.notes.warn(
                f"{self.table.place.split}: the column {_NEGATIVE!r} is not used; a query has one passage."
            )
        return self._copied(fields)

    def _told_alike(self, first: Row) -> None:
        """Refuse pairs beside a label: it may say that the texts are no pair at all."""
        is_pair = self.columns.optional("text_pair", first) is not None
        is_told = self.columns.optional("score", first) is not None
        if not is_pair or is_told or _LABEL not in first or self.table.place.split == "unlabeled":
            return
        raise InvalidRequest(
            "unclear_pairs",
            f"{self.table.place.split}: the rows have pairs of texts and a column {_LABEL!r}, but no score. "
            f'If it says how alike the texts are, set columns to {{"score": "{_LABEL}"}}; if all pairs '
            "belong together, remove it.",
            pointer="#/columns",
        )

    def _marked(self, first: Row) -> Convert | None:
        """A text and what is marked in it."""
        text, tokens, tags = (self.columns.by_field.get(name) for name in ("text", "tokens", "tags"))
        told = first.get(str(tokens))
        if text not in first or tags is None or (told and _are_items(told)):
            return None
        named = [tags] if "tags" in self.columns.named else _SPAN_COLUMNS
        candidates = [name for name in named if name in first and _may_be_spans(first[name])]
        if tokens in first:
            candidates = [name for name in candidates if first[name]]
        if not candidates or self.table.place.split == "unlabeled":
            return None
        column = next((name for name in candidates if first[name]), candidates[0])
        self.shape.sources |= {"tokens": str(text), "tags": column}
        self.table.options["tags"] = "spans of characters"
        repaired = self.notes.repaired[self.table.place.split]

        def convert(row: Row, place: Place) -> Row:
            content, spans = row.get(str(text)), row.get(column)
            for name, value in ((str(text), content), (column, spans)):
                if value in (None, ""):
                    raise LeftOutRow(f"{name!r} is empty")
            if not isinstance(content, str):
                raise place.fault("invalid_text", f"{text!r} is not text. Fix or remove the row.")
            words, marks = tag_words(content, spans, place, repaired, row.get(str(tokens)))
            return row | {str(tokens): words, str(tags): marks}

        return convert

    def _scored(self, first: Row) -> Convert | None:
        """A score for each category, as spaCy writes them."""
        if not isinstance(first.get("cats"), dict) or "label" in first or "labels" in first:
            return None
        self.shape.sources |= {name: "cats" for name in ("label", "labels") if name in self.columns.by_field}

        def convert(row: Row, _place: Place) -> Row:
            scores = row.get("cats")
            names = [
                name
                for name, score in (scores.items() if isinstance(scores, dict) else ())
                if isinstance(score, int | float) and score >= _CHOSEN
            ]
            return row | {"label": names, "labels": names}

        return convert

    def _in_columns(self, first: Row) -> Convert | None:
        """A column of 0 and 1 for each label, named as it."""
        column = self.columns["labels"]
        if column in first or not self.labels or not all(name in first for name in self.labels):
            return None
        self.shape.sources["labels"] = ", ".join(self.labels)

        def convert(row: Row, place: Place) -> Row:
            return row | {column: [name for name in self.labels if _applies(row.get(name), name, place)]}

        return convert

    def _copied(self, fields: dict[str, str]) -> Convert | None:
        if not fields:
            return None
        self.shape.sources |= fields

        def convert(row: Row, _place: Place) -> Row:
            return row | {self.columns[name]: row[column] for name, column in fields.items() if column in row}

        return convert


def _applies(mark: Any, name: str, place: Place) -> bool:
    text = str(mark).strip().lower()
    if text == "-1":  # as in Jigsaw's rows that were not scored
        raise LeftOutRow(f"{name!r} is -1, no label")
    if text not in _MARKS:
        raise place.fault("invalid_labels", f"{name!r} is {kind(mark)}, where 0 or 1 is due for each label.")
    return _MARKS[text]


def _with_results(data: Row, results: Any, place: Place) -> Row:
    """What is annotated beside what annotators said, by the name of the control that they used."""
    row = dict(data)
    spans: dict[str, list[Any]] = {}
    choices: dict[str, list[Any]] = {}
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        name = str(result.get("from_name"))
        if "startOffset" in value:
            raise place.fault(
                "invalid_entities", "the entities are marked in HTML, not in text. Annotate plain text."
            )
        if "labels" in value:
            spans.setdefault(name, []).append(value)
        elif isinstance(value.get("choices"), list):
            choices.setdefault(name, []).extend(value["choices"])
    row |= choices
    if len(choices) == 1:
        [names] = choices.values()
        row = {"label": names, "labels": names} | row
    if len(spans) < 2:
        row |= {"entities": [span for marked in spans.values() for span in marked]}
    return row | spans


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _at(row: Any, path: list[str]) -> Any:
    """What lies at a path; None where there is nothing."""
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _are_items(value: Any) -> bool:
    """Whether a cell has a list of words or tags, or text of them."""
    if isinstance(value, list):
        return all(isinstance(item, str | int) for item in value)
    return isinstance(value, str)


def _may_be_spans(value: Any) -> bool:
    return value is None or are_spans(value) or (isinstance(value, str) and value.lstrip()[:1] == "[")
