"""How similar texts are: by their vectors, or by the number that a model of pairs gives."""

from collections.abc import Sequence

import numpy as np

from app.domain.errors import InvalidRequest
from app.engine.tokenizing import Input
from app.inference.predictors.results import Number, Result, Vector
from app.inference.protocols.huggingface.schemas import Comparison
from app.inference.runtime import ServableModel

_SMALLEST_NORM = 1e-12


def compared_texts(model: ServableModel, comparison: Comparison) -> list[Input]:
    """What a model is asked so that its results say how similar the texts are.

    Raises:
        InvalidRequest: its results never do.
    """
    if model.task == "sentence_embedding":
        return [comparison.source, *comparison.others]
    if model.task == "text_regression" and model.manifest.is_pair is not False:
        return [(comparison.source, other) for other in comparison.others]
    raise InvalidRequest(
        "model_compares_no_texts",
        f"Model {model.key.name} is of the task {model.task}. Compare sentences with a model of "
        "sentence_embedding, or of text_regression that was trained on pairs of texts.",
        pointer="#/inputs",
        task=model.task,
    )


def similarities(results: Sequence[Result]) -> list[float]:
    """Of the texts to the first one, in their order."""
    numbers = [result.value for result in results if isinstance(result, Number)]
    if numbers:
        return numbers
    vectors = np.array([result.values for result in results if isinstance(result, Vector)], np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _SMALLEST_NORM)
    cosines: list[float] = (vectors[1:] @ vectors[0]).tolist()
    return cosines
