"""The body of a prediction, in the form that Hugging Face clients send."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from typing_extensions import TypedDict

from app.inference.tokenizing import TextInput

MAX_INPUTS = 1024
MAX_CHARACTERS = 100_000  # far beyond any model's truncation, and cheap to tokenise

_TEXT = {"type": "string", "maxLength": MAX_CHARACTERS}
_PAIR = {
    "type": "object",
    "properties": {"text": _TEXT, "text_pair": {"anyOf": [_TEXT, {"type": "null"}]}},
    "required": ["text"],
    "additionalProperties": False,
}
_INPUTS_SCHEMA = {
    "description": f"A text, a pair of texts, or a list of either: 1 to {MAX_INPUTS:,} inputs.",
    "anyOf": [
        _TEXT,
        _PAIR,
        {"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": {"anyOf": [_TEXT, _PAIR]}},
    ],
}


def _read_inputs(value: object) -> list[TextInput]:
    # By hand: a union of models and lists costs more than the prediction of a small student.
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("the list is empty; give at least one text")
    if len(items) > MAX_INPUTS:
        raise ValueError(f"{len(items):,} inputs; one request takes at most {MAX_INPUTS:,}")
    return [_read_input(item, position) for position, item in enumerate(items)]


def _read_input(item: object, position: int) -> TextInput:
    if isinstance(item, str):
        return _check_length(item, position)
    match item:
        case {"text": str(text), "text_pair": str(pair), **rest} if not rest:
            return _check_length(text, position), _check_length(pair, position)
        case {"text": str(text), **rest} if rest in ({}, {"text_pair": None}):
            return _check_length(text, position)
    raise ValueError(
        f'input {position} is neither a text nor an object {{"text": "…", "text_pair": "…"}} '
        "(text_pair may be left out)"
    )


def _check_length(text: str, position: int) -> str:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"input {position} has {len(text):,} characters; one text may have {MAX_CHARACTERS:,}"
        )
    return text


class Score(TypedDict):
    """One label of an answer."""

    label: str
    score: float


Answers: TypeAlias = list[list[Score]]
"""For each input its labels, best first."""


class PredictParameters(BaseModel):
    """How the answer is given."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(default=None, ge=1, description="Labels of each answer; default: all.")
    precision: str | None = Field(
        default=None,
        description="`fp32` or `int8`, as the model was exported; default: fp32 where it exists. "
        "int8 scales its activations by the whole batch: its scores can differ in the second decimal with "
        "what else is asked at the same moment. fp32 scores do not depend on it.",
        examples=["int8"],
    )
    function_to_apply: Literal["softmax"] | None = Field(
        default=None,
        description="Scores are always a softmax; the name is taken so that clients may send it.",
    )


class PredictRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"inputs": "A film to remember."}]}
    )

    inputs: Annotated[Any, PlainValidator(_read_inputs), WithJsonSchema(_INPUTS_SCHEMA)]
    parameters: PredictParameters = Field(default_factory=PredictParameters)
