"""The parameters of a request, task by task, by the names that clients of Hugging Face give them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from fastapi.exceptions import RequestValidationError
from pydantic import Field, PrivateAttr, StringConstraints, ValidationError, field_validator, model_validator

from app.domain.errors import InvalidRequest
from app.domain.exact_types import ExactModel
from app.domain.tasks import Task
from app.engine.generation import Decoding
from app.inference.predictors.classifier import ClassificationOptions, RegressionOptions
from app.inference.predictors.embedder import EmbeddingOptions
from app.inference.predictors.fill_mask import FillMaskOptions
from app.inference.predictors.question_answerer import AnsweringOptions
from app.inference.predictors.scores import ScoreFunction
from app.inference.predictors.tagger import Aggregation, TaggingOptions
from app.inference.predictors.translator import TranslationOptions

WITHOUT_EFFECT: Final = frozenset(
    ("batch_size", "num_workers", "padding", "return_tensors", "use_cache", "use_gpu", "wait_for_model")
)
"""Parameters of pipelines and of the hub that say how work is done: no answer depends on them."""

IGNORED: Final = "x-ignored-parameters"
"""The header of an answer that names those which had no effect."""


class Parameters(ExactModel):
    """Those of every task."""

    _ignored: Sequence[str] = PrivateAttr(())

    precision: str | None = Field(
        default=None,
        description="`fp32` or `int8`; default: fp32 if the model was exported in it. Answers do not depend "
        "on other requests, but for int8 files of earlier versions (`activation_scales: per_batch`), by some "
        "hundredths.",
        examples=["int8"],
    )

    @property
    def ignored(self) -> Sequence[str]:
        """Names among those that were given which have no effect."""
        return self._ignored

    def ignoring(self, names: Sequence[str]) -> Self:
        self._ignored = names
        return self

    @abstractmethod
    def options(self) -> Any:
        """The same for the predictor of the task."""


_TRUNCATION: Final = "Accepted for compatibility; longer texts are always truncated."
_ALWAYS_TRUNCATED: Final = "longer texts are always truncated. Omit it, or split your texts"


class _TruncatingParameters(Parameters):
    """Those of tasks whose texts are cut at the model's length."""

    truncation: Literal[True, "longest_first", "only_first"] | None = Field(
        default=None, description=_TRUNCATION
    )

    @field_validator("truncation", mode="before")
    @classmethod
    def _require_truncation(cls, truncation: object) -> object:
        if truncation is False or truncation == "do_not_truncate":
            raise ValueError(_ALWAYS_TRUNCATED)
        return truncation


class _PairParameters(_TruncatingParameters):
    """Those of tasks that take pairs, of which the longer text loses its tokens first."""

    truncation: Literal[True, "longest_first"] | None = Field(default=None, description=_TRUNCATION)


class _RankingParameters(_PairParameters):
    """Those of tasks that rank labels."""

    function_to_apply: ScoreFunction | None = Field(
        default=None,
        description="What logits go through to become scores; default: what they did in training, `softmax` "
        "for one label of a text and `sigmoid` for several.",
    )
    top_k: int | None = Field(default=None, ge=1, description="Number of labels to return; default: all.")

    def options(self) -> ClassificationOptions:
        return ClassificationOptions(self.top_k, self.function_to_apply)


class ClassificationParameters(_RankingParameters):
    """Parameters for text_classification."""


class MultiLabelParameters(_RankingParameters):
    """Parameters for multi_label_classification."""


class RegressionParameters(_PairParameters):
    """Parameters for text_regression."""

    function_to_apply: Literal["sigmoid", "none"] | None = Field(
        default=None,
        description="What the model's output goes through; default: what it did in training.",
    )

    def options(self) -> RegressionOptions:
        return RegressionOptions(self.function_to_apply)


class TokenClassificationParameters(_TruncatingParameters):
    """Parameters for token_classification."""

    aggregation_strategy: Aggregation = Field(
        default="first",
        description="As in transformers. `first`: named entities of words, each with the tag of its first "
        "token, as in training; `average` and `max`: with the tag of the mean of its tokens, or of the "
        "surest. `simple`: entities of tokens; `none`: tokens with their tags. `words`: words with their "
        "tags, as in `first`. Given words are never cut: `simple` is `first` there, and `none` is `words`.",
    )
    ignore_labels: list[str] = Field(
        default=["O"], description="Entity types (or, with `none`, tags) to leave out."
    )
    stride: int | None = Field(
        default=None,
        ge=0,
        description="Read longer texts whole, in windows that share so many tokens, and keep the longer one "
        "of entities that overlap; default: longer texts are truncated. Not with `none` and `words`.",
    )

    @model_validator(mode="after")
    def _require_entities(self) -> "TokenClassificationParameters":
        if self.stride is not None and self.aggregation_strategy in ("none", "words"):
            raise ValueError(
                "stride needs entities, of which the longer one is kept where windows overlap; "
                f"aggregation_strategy {self.aggregation_strategy} gives none. Choose another strategy"
            )
        return self

    def options(self) -> TaggingOptions:
        return TaggingOptions(self.aggregation_strategy, self.ignore_labels, self.stride)


class FillMaskParameters(_TruncatingParameters):
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


class EmbeddingParameters(_TruncatingParameters):
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
    truncate: bool | None = Field(default=None, description=_TRUNCATION)

    @field_validator("truncate")
    @classmethod
    def _require_truncate(cls, truncate: bool | None) -> bool | None:
        if truncate is False:
            raise ValueError(_ALWAYS_TRUNCATED)
        return truncate

    def options(self) -> EmbeddingOptions:
        return EmbeddingOptions(self.dimensions, self.normalize)


class TranslationParameters(_TruncatingParameters):
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
    ignored = WITHOUT_EFFECT & given.keys()
    try:
        parameters = PARAMETERS[task].model_validate(
            {name: value for name, value in given.items() if name not in ignored}
        )
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    else:
        return parameters.ignoring(sorted(ignored))
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
