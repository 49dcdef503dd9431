"""The body of a prediction and its answers, in the forms that Hugging Face clients send and read."""

from typing import Annotated, Any, Final, NamedTuple, NotRequired, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StrictBool, WithJsonSchema
from typing_extensions import TypedDict

from app.domain.exact_types import ExactModel
from app.domain.tasks import TASKS
from app.engine.tokenizing import Input, Question
from app.inference.protocols.limits import MAX_CHARACTERS, MAX_INPUTS
from app.inference.protocols.parameters import AnyParameters

MAX_WORDS = 10_000

_TEXT = {"type": "string", "maxLength": MAX_CHARACTERS}
_PAIR = {
    "type": "object",
    "properties": {"text": _TEXT, "text_pair": {"anyOf": [_TEXT, {"type": "null"}]}},
    "required": ["text"],
    "additionalProperties": False,
}
_WORDS = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_WORDS}},
    "required": ["words"],
    "additionalProperties": False,
}
_QUESTION = {
    "type": "object",
    "properties": {"question": _TEXT, "context": _TEXT},
    "required": ["question", "context"],
    "additionalProperties": False,
}
_TWO_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 2}
_COMPARISON = {
    "type": "object",
    "properties": {
        "source_sentence": _TEXT,
        "sentences": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_INPUTS - 1},
    },
    "required": ["source_sentence", "sentences"],
    "additionalProperties": False,
}
_PAIR_TASKS = [task for task, record in TASKS.items() if record.takes_pairs]
_INPUTS_SCHEMA = {
    "description": "A text, a text pair, a text as its words, a question with its context, or a list of 1 to "
    f"{MAX_INPUTS:,} of these. "
    f"Pairs are for models of {', '.join(_PAIR_TASKS)}, words for token_classification: the answers are then "
    "about just these words, and `start` and `end` count words. "
    "question_answering takes questions, and nothing else. In a list, `[a, b]` is a pair, too, and `[a]` a "
    "text. A source sentence with others is answered by how similar each of them is to it: by the cosine of "
    "the vectors of a sentence_embedding model, by the number that a text_regression model of pairs gives.",
    "anyOf": [
        _TEXT,
        _PAIR,
        _WORDS,
        _QUESTION,
        _COMPARISON,
        {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_INPUTS,
            "items": {"anyOf": [_TEXT, _PAIR, _TWO_TEXTS, _WORDS, _QUESTION]},
        },
    ],
}


class Inputs(NamedTuple):
    """The inputs of a request."""

    texts: list[Input]
    is_list: bool = True
    """Whether the client sent a list, even of a single input."""


class Comparison(NamedTuple):
    """A text, and others that it is compared with."""

    source: str
    others: list[str]


def _read_inputs(value: object) -> Inputs | Comparison:
    # By hand: a union of models and lists costs more than the prediction of a small student.
    if isinstance(value, dict) and "source_sentence" in value:
        return _read_comparison(value)
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("the list is empty; send at least one text")
    if len(items) > MAX_INPUTS:
        raise ValueError(f"{len(items):,} inputs; a request may have at most {MAX_INPUTS:,}")
    return Inputs([_read_input(item, position) for position, item in enumerate(items)], items is value)


def _read_comparison(value: dict[str, object]) -> Comparison:
    match value:
        case {"source_sentence": str(source), "sentences": [*others], **rest} if others and not rest:
            if len(others) >= MAX_INPUTS:
                raise ValueError(f"{len(others):,} sentences; a request may have at most {MAX_INPUTS - 1:,}")
            texts = [text for text in others if isinstance(text, str)]
            if len(texts) == len(others):
                for position, text in enumerate((source, *texts)):
                    _check_length(text, position)
                return Comparison(source, texts)
    raise ValueError('send {"source_sentence": "…", "sentences": ["…", "…"]}')


def _read_input(item: object, position: int) -> Input:
    if isinstance(item, str):
        return _check_length(item, position)
    match item:
        case {"text": str(text), "text_pair": str(pair), **rest} if not rest:
            return _check_length(text, position), _check_length(pair, position)
        case {"text": str(text), **rest} if rest in ({}, {"text_pair": None}):
            return _check_length(text, position)
        case [str(text)]:
            return _check_length(text, position)
        case [str(text), str(pair)]:
            return _check_length(text, position), _check_length(pair, position)
        case {"words": list(words), **rest} if not rest:
            return _read_words(words, position)
        case {"question": str(question), "context": str(context), **rest} if not rest:
            return Question(_check_length(question, position), _check_length(context, position))
    raise ValueError(
        f'input {position} is neither a text, a pair ["…", "…"] in a list, nor an object {{"text": "…", '
        '"text_pair": "…"}} (text_pair is optional), {"words": ["…", "…"]} for token_classification, or '
        '{"question": "…", "context": "…"} for question_answering'
    )


def _read_words(words: list[object], position: int) -> list[str]:
    if not words or len(words) > MAX_WORDS:
        raise ValueError(f"input {position} has {len(words):,} words; a text may have 1 to {MAX_WORDS:,}")
    for number, word in enumerate(words):
        if not isinstance(word, str):
            raise ValueError(  # noqa: TRY004 - pydantic reads ValueError
                f"input {position}: word {number} is not a text; send every word as a string"
            )
    texts = [word for word in words if isinstance(word, str)]
    _check_length("".join(texts), position)
    return texts


def _check_length(text: str, position: int) -> str:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"input {position} has {len(text):,} characters; a text may have at most {MAX_CHARACTERS:,}"
        )
    return text


def _read_parameters(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError('send an object: {"name": value, …}')  # noqa: TRY004 - pydantic reads ValueError
    return value


class Score(TypedDict):
    """A label of a text with its score; text_regression has one number, labelled `score`."""

    label: str
    score: float
    passes: NotRequired[bool]
    model: NotRequired[str]


class Entity(TypedDict):
    """A token or a word with its tag, and its place: text[start:end], or words[start:end] in a list of words.

    `index` is the number of a token in its text.
    """

    index: NotRequired[int]
    entity: str
    score: float
    word: str
    start: int
    end: int


class EntityGroup(TypedDict):
    """A named entity: its type, the mean score of its words, and its place in the text: text[start:end].

    Where the input is a list of words, they are words[start:end].
    """

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class Fill(TypedDict):
    """A predicted word for the mask."""

    score: float
    token: int
    token_str: str
    sequence: str


class Answer(TypedDict):
    """An answer to a question: context[start:end], empty where the context has none."""

    score: float
    start: int
    end: int
    answer: str


class Translation(TypedDict):
    translation_text: str


Answers: TypeAlias = (
    list[list[Score]]
    | list[EntityGroup]
    | list[list[EntityGroup]]
    | list[Entity]
    | list[list[Entity]]
    | list[Fill]
    | list[list[Fill]]
    | list[Translation]
    | Answer
    | list[Answer]
    | list[list[Answer]]
    | list[list[float]]
    | list[float]
)
"""By task; similarities are numbers. Entities, fills and answers of one input come alone, those of a list as
a list of them."""


class RequestOptions(ExactModel):
    """Options of the hub's API. A request always waits for its model, and nothing is cached."""

    wait_for_model: bool | None = None
    use_cache: bool | None = None
    use_gpu: bool | None = None


_BESIDE: Final = "As in `parameters`: clients that ask for vectors send it beside the inputs."


class PredictRequest(BaseModel):
    """Inputs for a model, and the parameters of the prediction."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"inputs": "A film to remember."},
                {
                    "inputs": {"text": "A dog runs.", "text_pair": "An animal moves."},
                    "parameters": {"top_k": 1},
                },
                {"inputs": "A film to [MASK].", "parameters": {"top_k": 3}},
                {"inputs": {"words": ["J.", "Smith", "was", "in", "Oslo", "."]}},
                {"inputs": ["A dog runs."], "parameters": {"num_beams": 4}},
                {"inputs": {"question": "Where is she?", "context": "Ada is in Oslo."}},
                {"inputs": ["A dog runs.", "A cat sleeps."], "parameters": {"normalize": True}},
                {"inputs": {"source_sentence": "A dog runs.", "sentences": ["A cat sleeps."]}},
            ]
        },
    )

    inputs: Annotated[Any, PlainValidator(_read_inputs), WithJsonSchema(_INPUTS_SCHEMA)]
    parameters: Annotated[
        dict[str, Any], PlainValidator(_read_parameters, json_schema_input_type=AnyParameters | None)
    ] = Field(default_factory=dict, description="Parameters of the model's task.")
    options: RequestOptions | None = Field(default=None, description="Accepted for compatibility.")
    normalize: StrictBool | None = Field(default=None, description=_BESIDE)
    truncate: StrictBool | None = Field(default=None, description=_BESIDE)
    dimensions: Annotated[int, Field(strict=True)] | None = Field(default=None, description=_BESIDE)

    @property
    def all_parameters(self) -> dict[str, Any]:
        """With those that stand beside the inputs."""
        beside = {"normalize": self.normalize, "truncate": self.truncate, "dimensions": self.dimensions}
        given = {name: value for name, value in beside.items() if value is not None}
        return {**given, **self.parameters} if given else self.parameters
