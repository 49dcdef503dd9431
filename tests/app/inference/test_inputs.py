"""Texts that a model was not trained on are refused by name."""

import pytest

from tests.app.inference.conftest import predict

TEXT, PAIR = "a film", {"text": "a film", "text_pair": "a story"}


@pytest.mark.parametrize(
    ("is_pair", "inputs", "code", "position"),
    [
        (True, [PAIR, TEXT], "pair_required", 1),
        (True, {"text": "a film", "text_pair": None}, "pair_required", 0),
        (False, PAIR, "pairs_not_supported", 0),
        (None, ["", TEXT], "empty_text", 0),
        (None, [TEXT, " \n\t\u3000"], "empty_text", 1),
        (None, [PAIR, PAIR | {"text_pair": ""}], "empty_text", 1),
        (None, [TEXT, {"words": ["a", "film"]}], "words_not_supported", 1),
    ],
)
def test_what_does_not_fit_is_named(client, register, is_pair, inputs, code, position):
    response = predict(client, register(is_pair=is_pair), inputs)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, f"urn:squeeze:problem:{code}")
    assert (problem["errors"][0]["pointer"], problem["position"]) == ("#/inputs", position)
    assert f"Input {position} " in problem["detail"]


@pytest.mark.parametrize(("is_pair", "inputs"), [(True, PAIR), (False, TEXT), (None, [PAIR, TEXT])])
def test_what_fits_is_answered(client, register, is_pair, inputs):
    assert predict(client, register(is_pair=is_pair), inputs).status_code == 200
