"""What a model takes and gives as tensors, by its task."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from pydantic_core import to_json

from app.domain.errors import InvalidRequest
from app.domain.tasks import TASKS
from app.engine.tokenizing import Input, Question
from app.inference.protocols.huggingface.rendering import render_results
from app.inference.protocols.kserve.schemas import TensorMetadata
from app.inference.protocols.kserve.tensors import DTYPES, Tensor
from app.inference.runtime import ServableModel

Results = Sequence[Any]
"""Of the predictor of the model's task, which names one type."""


class Output(NamedTuple):
    """An output of models."""

    name: str
    datatype: str
    columns: Callable[[ServableModel], list[int]]
    """Sizes beyond the first, which is that of the texts; -1: any."""
    read: Callable[[ServableModel, Results], Any]
    """Its values, which numpy makes an array of."""

    def tensor(self, model: ServableModel, results: Results) -> Tensor:
        return Tensor(self.datatype, np.array(self.read(model, results), DTYPES[self.datatype]))

    def metadata(self, model: ServableModel) -> TensorMetadata:
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.columns(model)]}


def takes(model: ServableModel) -> list[TensorMetadata]:
    """The tensors of texts that a model takes."""
    first, second = _names(model)
    inputs: list[TensorMetadata] = [{"name": first, "datatype": "BYTES", "shape": [-1]}]
    if second is not None:
        other: TensorMetadata = {"name": second, "datatype": "BYTES", "shape": [-1]}
        inputs.append(other if _needs_both(model) else {**other, "parameters": {"optional": True}})
    return inputs


def gives(model: ServableModel) -> tuple[Output, ...]:
    """The outputs of a model."""
    return OUTPUTS[TASKS[model.task].predictor]


def inputs_of(model: ServableModel, texts: Mapping[str, list[str]]) -> list[Input]:
    """Texts, pairs or questions, out of tensors.

    Raises:
        InvalidRequest: the model takes other tensors, or they are of several sizes.
    """
    first, second = _names(model)
    known = [name for name in (first, second) if name is not None]
    needed = known if _needs_both(model) else [first]
    if unknown := sorted(texts.keys() - set(known)):
        raise _wrong_inputs(model, known, f"it is sent {unknown[0][:50]!r}")
    if missing := [name for name in needed if name not in texts]:
        raise _wrong_inputs(model, known, f"{missing[0]!r} is missing")
    if second is None or second not in texts:
        return list(texts[first])
    if len(texts[first]) != len(texts[second]):
        sizes = f"{first!r} has {len(texts[first]):,} elements and {second!r} {len(texts[second]):,}"
        raise _wrong_inputs(model, known, sizes)
    pairs = zip(texts[first], texts[second], strict=True)
    return [Question(*pair) if second == "context" else pair for pair in pairs]


def _names(model: ServableModel) -> tuple[str, str | None]:
    record = TASKS[model.task]
    if record.answering == "span":
        return "question", "context"
    may_be_pairs = record.takes_pairs and model.manifest.is_pair is not False
    return "text", "text_pair" if may_be_pairs else None


def _needs_both(model: ServableModel) -> bool:
    record = TASKS[model.task]
    return record.answering == "span" or (record.takes_pairs and model.manifest.is_pair is True)


def _wrong_inputs(model: ServableModel, known: Sequence[str], what: str) -> InvalidRequest:
    return InvalidRequest(
        "wrong_input_tensors",
        f"Model {model.key.name} takes {' and '.join(map(repr, known))}, of one size; {what}.",
        known=list(known),
    )


def _by_label(field: str) -> Callable[[ServableModel, Results], Any]:
    """(texts, labels), in the order of the model's labels."""

    def read(model: ServableModel, results: Results) -> list[list[Any]]:
        rows = [{label.label: getattr(label, field) for label in result.labels} for result in results]
        return [[row[label] for label in model.manifest.labels or ()] for row in rows]

    return read


def _of_fills(field: str) -> Callable[[ServableModel, Results], Any]:
    """(texts, words for the mask)."""
    return lambda _, results: [[getattr(fill, field) for fill in result.fills] for result in results]


def _of_answers(field: str) -> Callable[[ServableModel, Results], Any]:
    return lambda _, results: [getattr(result.best, field) for result in results]


def _alone(_model: ServableModel) -> list[int]:
    return []


def _of_each_label(model: ServableModel) -> list[int]:
    return [len(model.manifest.labels or ())]


def _any(_model: ServableModel) -> list[int]:
    return [-1]


_LABELS: Final = (
    Output("label", "BYTES", _alone, lambda _, results: [result.labels[0].label for result in results]),
    Output("score", "FP32", _alone, lambda _, results: [result.labels[0].score for result in results]),
    Output("probabilities", "FP32", _of_each_label, _by_label("score")),
)

OUTPUTS: Final[Mapping[str, tuple[Output, ...]]] = {
    "classifier": _LABELS,
    "multi_label_classifier": (
        *_LABELS,
        Output("passes", "BOOL", _of_each_label, _by_label("passes")),
    ),
    "regressor": (Output("score", "FP32", _alone, lambda _, results: [result.value for result in results]),),
    "embedder": (
        Output(
            "embedding",
            "FP32",
            lambda model: [model.manifest.dimensions],
            lambda _, results: [result.values for result in results],
        ),
    ),
    "tagger": (
        Output(
            "entities",
            "BYTES",
            _alone,
            lambda _, results: [
                to_json(render_results([result], is_list=False)).decode() for result in results
            ],
        ),
    ),
    "fill_mask": (
        Output("token", "BYTES", _any, _of_fills("token")),
        Output("score", "FP32", _any, _of_fills("score")),
        Output("sequence", "BYTES", _any, _of_fills("sequence")),
    ),
    "question_answerer": (
        Output("answer", "BYTES", _alone, _of_answers("text")),
        Output("score", "FP32", _alone, _of_answers("score")),
        Output("start", "INT64", _alone, _of_answers("start")),
        Output("end", "INT64", _alone, _of_answers("end")),
    ),
    "translator": (
        Output("translation", "BYTES", _alone, lambda _, results: [result.text for result in results]),
    ),
}
"""By the name that the records of tasks give the predictor."""
