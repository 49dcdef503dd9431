"""Entities of a sentence as tags of any scheme, and back."""

import random

import pytest

from app.domain.documents.manifest import DatasetManifest, Files, ModelManifest
from app.domain.entity_spans import Span, Tagging
from app.domain.job_labels import job_labels, label_mapping
from tests.app.jobs.shelf import ENCODER

IOB2 = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
SCHEMES = {
    "IOB2, sorted": sorted(IOB2),
    "BIOES": ["S-LOC", "E-LOC", "B-LOC", "I-LOC", "O", "B-PER", "I-PER", "E-PER", "S-PER"],
    "BILOU": ["O", "U-PER", "L-PER", "B-PER", "I-PER", "U-LOC", "L-LOC", "B-LOC", "I-LOC"],
    "BMES": ["B-PER", "M-PER", "E-PER", "S-PER", "B-LOC", "M-LOC", "E-LOC", "S-LOC", "O"],
    "suffixes": ["PER-B", "PER-I", "O", "LOC-B", "LOC-I"],
    "IO": ["LOC", "O", "PER"],
    "IO with marks": ["I-PER", "I-LOC", "O"],
    "one kind without B": ["I-LOC", "B-PER", "I-PER", "O"],
}


def sentence(generator: random.Random, *, words: int = 12) -> list[Span]:
    """Entities that do not touch, as schemes without marks have to have them."""
    found, word = [], generator.randrange(3)
    while word < words:
        end = min(words, word + generator.randint(1, 4))
        found.append(Span(generator.choice(["LOC", "PER"]), word, end))
        word = end + generator.randint(1, 3)
    return found


@pytest.mark.parametrize("labels", SCHEMES.values(), ids=SCHEMES)
def test_every_scheme_says_where_entities_lie(labels: list[str]) -> None:
    tagging, generator = Tagging(labels), random.Random(0)
    for _ in range(50):
        spans = sentence(generator)
        assert list(tagging.spans(tagging.tags(spans, 12))) == spans


@pytest.mark.parametrize("labels", SCHEMES.values(), ids=SCHEMES)
def test_tags_of_a_data_set_become_those_of_a_model(labels: list[str]) -> None:
    ours, theirs, generator = Tagging(IOB2), Tagging(labels), random.Random(1)
    mapping = label_mapping("token_classification", IOB2, labels)
    assert mapping is not None
    for _ in range(50):
        spans = sentence(generator)
        assert list(theirs.spans(mapping(ours.tags(spans, 12)))) == spans


def test_entities_that_touch() -> None:
    spans = [Span("LOC", 0, 2), Span("LOC", 2, 3), Span("LOC", 3, 5)]
    for name in ("IOB2, sorted", "BIOES", "BILOU", "BMES", "suffixes"):
        tagging = Tagging(SCHEMES[name])
        assert list(tagging.spans(tagging.tags(spans, 5))) == spans, name
    tagging = Tagging(SCHEMES["IO"])
    assert list(tagging.spans(tagging.tags(spans, 5))) == [Span("LOC", 0, 5)]


def test_what_follows_an_end_is_another_entity() -> None:
    labels = SCHEMES["BIOES"]
    tags = [labels.index(tag) for tag in ("B-LOC", "E-LOC", "I-LOC", "S-LOC", "I-PER")]
    assert list(Tagging(labels).spans(tags)) == [
        *(Span("LOC", 0, 2), Span("LOC", 2, 3), Span("LOC", 3, 4), Span("PER", 4, 5)),
    ]


@pytest.mark.parametrize(
    ("theirs", "needs_head", "expected"),
    [
        (["yes", "no"], True, "theirs"),
        (["yes", "no"], False, "theirs"),
        (["yes", "odd", "no"], True, "theirs"),
        (["yes", "odd", "no"], False, "ours"),
        (["yes", "odd"], False, "ours"),
    ],
)
def test_an_order_of_labels_belongs_to_its_model(theirs: list[str], needs_head: bool, expected: str) -> None:
    files = Files(prefix="", entries={})
    data = DatasetManifest(
        files=files, task="text_classification", labels=["no", "yes"], is_pair=False, splits={}
    )
    model = ModelManifest(
        files=files,
        architecture=ENCODER,
        task="text_classification",
        labels=theirs,
        parameters=1,
        max_length=8,
    )
    assert job_labels(model, data, needs_head=needs_head) == {"ours": data.labels, "theirs": theirs}[expected]


def test_targets_of_texts_are_mapped_by_name() -> None:
    mapping = label_mapping("multi_label_classification", ["a", "b", "c"], ["c", "x", "a", "b"])
    assert mapping is not None
    assert (mapping(1), mapping([0, 2]), mapping([])) == (3, [2, 0], [])
    assert label_mapping("text_classification", ["a", "b"], ["a", "b"]) is None
