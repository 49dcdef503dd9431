"""A search as a client asks for it: goals in place of a method and a target, and a budget."""

from typing import ClassVar, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from app.domain.exact_types import ExactModel
from app.domain.methods import METHOD_SPECS, MethodCard, Spec
from app.domain.methods.card import ALL_TASKS

AUTO: Final = "auto"

Minimised = Literal["size", "latency", "parameters"]

MAX_TRIALS: Final = 64
_DEFAULT_TRIALS: Final = 12


class Goals(ExactModel):
    """What the student must reach, and what is made as small as possible."""

    retain: float = Field(
        default=0.98,
        gt=0,
        le=1,
        description="Share of the teacher's main metric on dev that the student keeps. It is met by the "
        "lower bound of a paired bootstrap interval of 95 %, not by the measured value alone.",
    )
    max_latency_ms: float | None = Field(
        default=None, gt=0, le=100_000, description="Maximum latency of one text, as the worker measures it."
    )
    max_size_mb: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Maximum size of the ONNX file in megabytes (10^6 bytes).",
    )
    max_parameters: int | None = Field(default=None, gt=0, description="Maximum number of parameters.")
    minimize: Minimised = Field(
        default="size",
        description=f"Which of {', '.join(get_args(Minimised))} is minimised among students that meet the "
        "goals.",
    )


class SearchBudget(ExactModel):
    """When a search ends: after so many trials, or so many minutes, whichever comes first."""

    trials: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TRIALS,
        description=f"Candidates that are tried; default: {_DEFAULT_TRIALS}, or {MAX_TRIALS} where minutes "
        "are given.",
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Wall-clock minutes from the first trial; running trials are then stopped and the best "
        "student so far is kept.",
    )

    @property
    def most_trials(self) -> int:
        if self.trials is not None:
            return self.trials
        return _DEFAULT_TRIALS if self.minutes is None else MAX_TRIALS


class AutoSpec(Spec):
    """Searches methods, sizes and vocabularies for the smallest student that meets goals."""

    name: Literal["auto"]
    goals: Goals = Field(default_factory=Goals, description="What the student must reach.")
    budget: SearchBudget = Field(default_factory=SearchBudget, description="When the search ends.")
    methods: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=32,
        description="Methods to choose among; default: all that fit the task and the teacher.",
    )

    card: ClassVar[MethodCard] = MethodCard(
        title="Search",
        papers=["https://arxiv.org/abs/1502.07943"],
        when="When a result is wanted rather than a recipe: short runs of many candidates, longer ones of "
        "the most promising. A search costs several trainings; where method and size are known, name them.",
        tasks=ALL_TASKS,
        targets=[],
        embedding_options=[],
        data="labelled train and dev splits",
    )

    @model_validator(mode="after")
    def _known_methods(self) -> Self:
        if unknown := sorted(set(self.methods or []) - METHOD_SPECS.keys()):
            raise ValueError(f"methods names {', '.join(unknown)}, which are no methods; see GET /v1/methods")
        return self
