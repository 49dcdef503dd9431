"""Each result of a predictor in the form of each protocol."""

from typing import get_args

import numpy as np
import pytest

from app.inference.predictors.results import (
    FoundAnswer,
    FoundAnswers,
    LabelScore,
    MaskFill,
    MaskFills,
    NamedEntities,
    NamedEntity,
    Number,
    RankedLabels,
    Result,
    TaggedWord,
    TaggedWords,
    TranslatedText,
    Vector,
)
from app.inference.protocols.huggingface.rendering import render_results

WORD = {"score": 0.5, "word": "Oslo", "start": 0, "end": 4}
FILL = {"score": 0.5, "token": 7, "token_str": "is", "sequence": "this is it"}
FOUND = FoundAnswer(0.5, 0, 4, "Oslo")
ANSWER = {"score": 0.5, "start": 0, "end": 4, "answer": "Oslo"}

FORMS = [
    (RankedLabels([LabelScore("good", 0.75)], 3), [{"label": "good", "score": 0.75}], False),
    (Number(4.5), [{"label": "score", "score": 4.5}], False),
    (TaggedWords([TaggedWord("B-LOC", 0.5, "Oslo", 0, 4)]), [{"entity": "B-LOC", **WORD}], True),
    (NamedEntities([NamedEntity("LOC", 0.5, "Oslo", 0, 4)]), [{"entity_group": "LOC", **WORD}], True),
    (MaskFills([MaskFill(7, "is", 0.5, "this is it")]), [FILL], True),
    (Vector(np.array([0.5, -0.25], np.float32), tokens=7), [0.5, -0.25], False),
    (FoundAnswers([FOUND], is_one=True), ANSWER, True),
    (FoundAnswers([FOUND, FOUND], is_one=False), [ANSWER, ANSWER], True),
    (TranslatedText("ein Hund"), {"translation_text": "ein Hund"}, False),
]


@pytest.mark.parametrize(("result", "form", "stands_alone"), FORMS)
def test_form_of_hugging_face(result: Result, form: object, stands_alone: bool) -> None:
    assert render_results([result, result], is_list=True) == [form, form]
    assert render_results([result], is_list=True) == [form]
    assert render_results([result], is_list=False) == (form if stands_alone else [form])


def test_every_result_has_one() -> None:
    assert {type(result) for result, _, _ in FORMS} == set(get_args(Result))
