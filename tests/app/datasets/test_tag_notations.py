"""Entities stay the same whatever scheme and notation tags come in; unclear tags are refused by name."""

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.datasets.preparing import read, refused
from tests.app.datasets.uploads import jsonl

EXAMPLES = int(os.environ.get("SQUEEZE_TABLE_EXAMPLES", "15"))
TASK = {"task": "token_classification"}

SCHEMES = {
    "IOB2": "BIIB",
    "BIOES": "BIES",
    "BILOU": "BILU",
    "BMES": "BMES",
    "BMEWO": "BMEW",
    "IOE": "IIEE",
}
"""Marks of a first token, an inner one, a last one and a single one."""

NOTATIONS: dict[str, Callable[[str, str], str]] = {
    "B-X": lambda mark, kind: f"{mark}-{kind}",
    "B_X": lambda mark, kind: f"{mark}_{kind}",
    "B:X": lambda mark, kind: f"{mark}:{kind}",
    "X-B": lambda mark, kind: f"{kind}-{mark}",
    "b-X": lambda mark, kind: f"{mark.lower()}-{kind}",
    "B": lambda mark, kind: mark,
}
Sentence = list[tuple[int, str | None]]
"""Entities by length and type, and tokens outside of any."""

sentences = st.lists(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([None, "PER", "LOC"])), min_size=1, max_size=6),
    min_size=1,
    max_size=5,
)


def tagged(sentence: Sentence, scheme: str, notation: str) -> list[str]:
    first, inner, last, single = SCHEMES[scheme]
    tags = []
    for length, kind in sentence:
        marks = [single] if length == 1 else [first, *inner * (length - 2), last]
        tags += ["O"] * length if kind is None else [NOTATIONS[notation](mark, kind) for mark in marks]
    return tags


def in_iob2(sentence: Sentence, notation: str) -> list[str]:
    tags = []
    for length, kind in sentence:
        type_ = "ENTITY" if notation == "B" else kind
        tags += ["O"] * length if kind is None else [f"{'I' if i else 'B'}-{type_}" for i in range(length)]
    return tags


@settings(max_examples=EXAMPLES, deadline=None)
@given(sentences, st.sampled_from(list(SCHEMES)), st.sampled_from(list(NOTATIONS)))
def test_entities_stay_the_same(rows, scheme, notation):
    # Both types, all marks and a token outside are in every set: one tag alone may be unclear.
    rows = [*rows, [(2, "PER"), (1, None), (3, "LOC"), (1, "PER"), (1, None), (2, "PER"), (3, "PER")]]
    content = jsonl(
        [
            {"tokens": ["x"] * len(tags), "tags": tags}
            for row in rows
            for tags in [tagged(row, scheme, notation)]
        ]
    )
    found = read(("t.jsonl", content), **TASK)
    assert found.rows["tags"] == [in_iob2(row, notation) for row in rows]
    assert found.reading.tag_scheme is not None
    assert (found.reading.tag_scheme.name, found.reading.tag_scheme.notation) == (
        scheme,
        notation.replace("PER", "X"),
    )


@pytest.mark.parametrize(
    ("tags", "code", "named"),
    [
        (["O", "S-FOO"], "unclear_tags", "'S-FOO'"),
        (["O", "A", "B", "C"], "unclear_tags", "'B'"),
        (["O", "B_PER", "LOC"], "mixed_tags", "'LOC'"),
        (["O", "B-PER", "I_PER"], "mixed_tags", "'I_PER'"),
        (["B-PER", "0"], "mixed_labels", "'0'"),
        (["O", "B-PER|B-ORG"], "unclear_tags", "'PER|B-ORG'"),
        (["O", "__B-PER__"], "unclear_tags", "'__B-PER__'"),
        (["O", "BEGIN_PER", "INSIDE_PER"], "unclear_tags", "'BEGIN_PER'"),
        (["NOUN", "VERB"], "no_outside_tag", "'NOUN', 'VERB'"),
    ],
)
def test_what_is_not_clear_is_refused_by_name(tags, code, named):
    fault = refused(("t.jsonl", jsonl([{"tokens": ["x"] * len(tags), "tags": tags}])), **TASK)
    assert fault.code == code
    assert named in fault.message


def test_types_that_the_client_lists(tmp_path):
    table = ("t.jsonl", jsonl([{"tokens": ["a", "b"], "tags": ["O", "S-FOO"]}]))
    assert read(table, labels=["FOO"], **TASK).rows["tags"] == [["O", "B-FOO"]]
    assert read(table, labels=["O", "S-FOO"], **TASK).rows["tags"] == [["O", "B-S-FOO"]]


def test_rows_that_have_no_tag_for_a_token():
    """As spaCy writes where an entity ends within a token."""
    rows = [{"tokens": ["a", "b"], "tags": tags} for tags in (["O", "B-X"], ["O", "-"], ["I-X", "O"])]
    found = read(("t.jsonl", jsonl(rows)), **TASK)
    assert found.rows["tags"] == [["O", "B-X"], ["B-X", "O"]]
    [left_out] = found.train.left_out
    assert (left_out.reason, left_out.rows, left_out.first) == ("'tags' has the tag -, no label", 1, [2])
    assert found.prepared.splits["train"].rows == 2
    assert found.prepared.splits["train"].words["max"] == 2


def test_iob1_is_told_from_iob2_by_what_is_tagged():
    def scheme(*tags):
        rows = [{"tokens": ["x"] * len(row), "tags": row} for row in tags]
        return read(("t.jsonl", jsonl(rows)), **TASK).reading.tag_scheme

    assert scheme(["I-X", "B-X", "O"]).name == "IOB1"
    assert scheme(["B-X", "B-X", "O"]).name == "IOB2"
    assert scheme(["B-X", "O", "I-X"]).name == "IOB2"
    assert scheme(["B_X", "I_X", "O"]).tags == {"B_X": "B-X", "I_X": "I-X", "O": "O"}


def test_types_that_capitals_alone_tell_apart():
    rows = [{"tokens": ["a", "b", "c"], "tags": ["B-Per", "O", "B-PER"]}]
    table = ("t.jsonl", jsonl(rows))
    assert "'PER', 'Per' differ in capitals alone" in refused(table, **TASK).message
    assert read(table, labels=["O", "Per", "PER"], **TASK).rows["tags"] == [["B-Per", "O", "B-PER"]]
