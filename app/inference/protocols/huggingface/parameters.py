"""The `parameters` of a request, task by task."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from fastapi.exceptions import RequestValidationError
from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from app.domain.errors import InvalidRequest
from app.domain.exact_types import ExactModel
from app.domain.tasks import Task
from app.engine.generation import Decoding
from app.inference.predictors.classifier import ClassificationOptions
from app.inference.predictors.embedder import EmbeddingOptions
from app.inference.predictors.fill_mask import FillMaskOptions
from app.inference.predictors.question_answerer import AnsweringOptions
from app.inference.predictors.tagger import TaggingOptions
from app.inference.predictors.translator import TranslationOptions


class Parameters(ExactModel):
    """Those of every task."""

    precision: str | None = Field(
        default=None,
        description="`fp32` or `int8`; default: fp32 if the model was exported in it. Answers do not depend "
        "on other requests, but for int8 files of earlier versions (`activation_scales: per_batch`), by some "
        "hundredths.",
        examples=["int8"],
    )

    @abstractmethod
    def options(self) -> Any:
        """The same for the predictor of the task."""


class _RankingParameters(Parameters):
    """Those of tasks that rank labels."""

    top_k: int | None = Field(default=None, ge=1, description="Number of labels to return; default: all.")

    def options(self) -> ClassificationOptions:
        return ClassificationOptions(self.top_k)


class ClassificationParameters(_RankingParameters):
    """Parameters for text_classification."""

    function_to_apply: Literal["softmax"] | None = Field(
        default=None,
        description="Accepted for compatibility; scores are always a softmax.",
    )


class MultiLabelParameters(_RankingParameters):
    """Parameters for multi_label_classification."""

    function_to_apply: Literal["sigmoid"] | None = Field(
        default=None,
        description="Accepted for compatibility; scores are always a sigmoid.",
    )


class RegressionParameters(Parameters):
    """Parameters for text_regression."""

    function_to_apply: Literal["none"] | None = Field(
        default=None,
        description="Accepted for compatibility; the score is always the model's output.",
    )

    def options(self) -> None:
        return None


class TokenClassificationParameters(Parameters):
    """Parameters for token_classification."""

    aggregation_strategy: Literal["simple", "first", "none"] = Field(
        default="simple",
        description="`simple`: named entities; `none`: words with their tags. A word has the tag of its "
        "first token, as in training, so `first` equals `simple`, and `average` and `max` ignore the other "
        "tokens.",
    )
    ignore_labels: list[str] = Field(
        default=["O"], description="Entity types (or, with `none`, tags) to leave out."
    )

    def options(self) -> TaggingOptions:
        return TaggingOptions(groups=self.aggregation_strategy != "none", ignored=self.ignore_labels)


class FillMaskParameters(Parameters):
    """Parameters for masked_language_modeling."""

    top_k: int = Field(default=5, ge=1, le=1000, description="Number of words for the mask, best first.")
    targets: list[Annotated[str, StringConstraints(max_length=100)]] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Candidate words, each a single token of the vocabulary; default: all. Scores are "
        "still a softmax over the whole vocabulary.",
    )

    def options(self) -> FillMaskOptions:
        return FillMaskOptions(self.top_k, self.targets)


class QuestionAnsweringParameters(Parameters):
    """Parameters for question_answering."""

    top_k: int = Field(
        default=1, ge=1, le=100, description="Number of answers, best first; above 1 they come as a list."
    )
    max_answer_len: int = Field(default=30, ge=1, le=512, description="Maximum tokens of an answer.")
    handle_impossible_answer: bool | None = Field(
        default=None,
        description="Whether the answer may be that there is none, an empty text; default: if the model was "
        "trained with questions that have none. It is given where its log-odds reach a threshold that was "
        "chosen on dev, or 0 where none was.",
    )

    def options(self) -> AnsweringOptions:
        return AnsweringOptions(self.top_k, self.max_answer_len, self.handle_impossible_answer)


class EmbeddingParameters(Parameters):
    """Parameters for sentence_embedding."""

    normalize: bool = Field(
        default=False,
        description="Bring vectors to length 1. A model whose folder says so (`Normalize`) does it anyway.",
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="The first so many dimensions, at length 1; default: all. Dimensions of a student that "
        "was made with `target.dimensions` are in the order of what they tell.",
    )
    truncate: bool | None = Field(
        default=None, description="Accepted for compatibility; longer texts are always truncated."
    )

    @field_validator("truncate")
    @classmethod
    def _require_truncation(cls, truncate: bool | None) -> bool | None:
        if truncate is False:
            raise ValueError("longer texts are always truncated. Omit it, or split your texts")
        return truncate

    def options(self) -> EmbeddingOptions:
        return EmbeddingOptions(self.dimensions, self.normalize)


class TranslationParameters(Parameters):
    """Parameters for translation. Generation parameters may also be nested in `generate_parameters`."""

    num_beams: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Beam size; 1 is greedy. Larger beams find more probable translations and take longer.",
    )
    max_new_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Maximum tokens of a translation; default: three times the source's plus ten, up to "
        "the model's limit.",
    )
    length_penalty: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Length penalty of beam search: a score is the log-probability divided by length to "
        "this power. Higher values prefer longer translations.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_generate_parameters(cls, value: Any) -> Any:
        """Clients of Hugging Face send what is for the search in an object of its own."""
        match value:
            case {"generate_parameters": dict(inner), **rest}:
                return {**rest, **inner}
        return value

    def options(self) -> TranslationOptions:
        return TranslationOptions(Decoding(self.num_beams, self.length_penalty), self.max_new_tokens)


PARAMETERS: Final[dict[Task, type[Parameters]]] = {
    "text_classification": ClassificationParameters,
    "multi_label_classification": MultiLabelParameters,
    "text_regression": RegressionParameters,
    "token_classification": TokenClassificationParameters,
    "masked_language_modeling": FillMaskParameters,
    "question_answering": QuestionAnsweringParameters,
    "translation": TranslationParameters,
    "sentence_embedding": EmbeddingParameters,
}

AnyParameters: TypeAlias = (
    ClassificationParameters
    | MultiLabelParameters
    | RegressionParameters
    | TokenClassificationParameters
    | FillMaskParameters
    | QuestionAnsweringParameters
    | TranslationParameters
    | EmbeddingParameters
)


def read_parameters(task: Task, given: Mapping[str, Any]) -> Parameters:
    """Check a client's parameters against those of a task.

    Raises:
        InvalidRequest: one belongs to another task, or to none.
        RequestValidationError: a value is out of bounds.
    """
    try:
        return PARAMETERS[task].model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    for fault in faults:
        if fault["type"] == "extra_forbidden":
            raise _foreign(task, str(fault["loc"][0]))
    raise RequestValidationError(
        [{**fault, "loc": ("body", "parameters", *fault["loc"])} for fault in faults]
    )


def _foreign(task: Task, name: str) -> InvalidRequest:
    known = sorted(PARAMETERS[task].model_fields)
    return InvalidRequest(
        "unknown_parameter",
        f"Unknown parameter {name[:50]!r} for {task}; known parameters are {', '.join(known)}. Fix the name "
        "or remove it.",
        pointer=f"#/parameters/{name[:50]}",
        parameter=name[:50],
        known=known,
    )
