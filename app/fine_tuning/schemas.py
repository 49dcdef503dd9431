"""Fine-tuning jobs as the clients of OpenAI's API ask for them: what a body means here."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)

from app.datasets.schemas import LabelNames
from app.domain.documents import Precision, Target, TrainingSpec
from app.domain.documents.gate import Gate
from app.domain.exact_types import ExactModel
from app.domain.methods import MethodSpec
from app.domain.methods.fine_tuning import FineTuningSpec
from app.domain.tasks import Task
from app.intake.datasets.columns import ColumnNames
from app.intake.datasets.given import LabelType, ScoresAre

_AUTO = "auto"
_MOST_METADATA = 16
_OF_FILES = ("task", "columns", "labels", "label_type", "teacher_scores_are")

DATASET = "dst_"
"""How the id of a data set begins."""


def _unless_auto(value: Any) -> Any:
    return None if value == _AUTO else value


def _or_auto(number: Any) -> BeforeValidator:
    """Takes the word of OpenAI's API for what the service chooses."""
    return BeforeValidator(_unless_auto, json_schema_input_type=number | Literal["auto"] | None)


_Epochs = Annotated[int, Field(ge=1, le=1000)]
_BatchSize = Annotated[int, Field(ge=1, le=4096)]
_Factor = Annotated[float, Field(ge=1, le=1)]


class Hyperparameters(ExactModel):
    """Those that OpenAI's API has words for; `auto` is what the service chooses."""

    n_epochs: Annotated[_Epochs | None, _or_auto(_Epochs)] = Field(
        default=None, description="As `training.epochs`."
    )
    batch_size: Annotated[_BatchSize | None, _or_auto(_BatchSize)] = Field(
        default=None, description="As `training.batch_size`."
    )
    learning_rate_multiplier: Annotated[float | None, _or_auto(_Factor)] = Field(
        default=None,
        description="1 or `auto`: the rate that the method chooses. Another is `training.learning_rate`.",
    )

    @field_validator("learning_rate_multiplier")
    @classmethod
    def _require_no_factor(cls, factor: float | None) -> float | None:
        if factor not in (None, 1):
            raise ValueError(
                f"it is {factor:g}, a factor of a rate that the method chooses later. Leave it out, or give "
                "the rate itself as training.learning_rate"
            )
        return factor

    @property
    def training(self) -> dict[str, int]:
        """The same by our names, as far as it is said."""
        said = {"epochs": self.n_epochs, "batch_size": self.batch_size}
        return {name: value for name, value in said.items() if value is not None}


class SupervisedSettings(ExactModel):
    """Of training on labels."""

    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)


class SupervisedMethod(ExactModel):
    """OpenAI's method that learns from labels."""

    type: Literal["supervised"]
    supervised: SupervisedSettings = Field(default_factory=SupervisedSettings)


class OtherMethod(ExactModel):
    """OpenAI's other methods, which are for generators of text and refused."""

    type: Literal["dpo", "reinforcement"]
    dpo: dict[str, Any] | None = None
    reinforcement: dict[str, Any] | None = None

    @field_validator("type")
    @classmethod
    def _refuse(cls, name: str) -> str:
        raise ValueError(f"{name} is for models that chat. Use supervised, or a method of GET /v1/methods")


_OPENAI_METHODS: TypeAdapter[Any] = TypeAdapter(
    Annotated[SupervisedMethod | OtherMethod, Field(discriminator="type")]
)
_METHODS: TypeAdapter[Any] = TypeAdapter(MethodSpec)


def _read_method(given: Any) -> Any:
    """Of the one API that is meant, so that faults are named in it."""
    is_ours = isinstance(given, dict) and "name" in given
    return (_METHODS if is_ours else _OPENAI_METHODS).validate_python(given)


Metadata = dict[
    Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]
]


class FineTuningJobCreate(ExactModel):
    """A job in the words of OpenAI's API, and with our names for what it has no words for."""

    model: str = Field(description="Id of the model to train or to compress.")
    training_file: str = Field(
        max_length=30,
        description="Id of a file or of an upload, of which a data set is made; or of a data set, which then "
        "is used as it is.",
    )
    validation_file: str | None = Field(
        default=None,
        max_length=30,
        description="Likewise, the rows on which the best checkpoint is selected and measured. Needed, "
        "unless `training_file` is a data set or an archive that has them.",
    )
    method: Annotated[SupervisedMethod | MethodSpec, BeforeValidator(_read_method)] = Field(
        default_factory=lambda: FineTuningSpec(name="fine_tuning"),
        description="OpenAI's `supervised`, which is `fine_tuning`; or a method of `GET /v1/methods`.",
    )
    hyperparameters: Hyperparameters | None = None
    suffix: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Put after the model's name in the name of the student.",
    )
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1, description="As `training.seed`.")
    metadata: Annotated[Metadata, Field(max_length=_MOST_METADATA)] | None = None
    integrations: Annotated[list[dict[str, Any]], Field(max_length=0)] | None = Field(
        default=None, description="None is available."
    )

    target: Target | None = Field(default=None, description="As of `POST /v1/jobs`.")
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="As of `POST /v1/jobs`.")
    teacher_weights: dict[str, float] | None = Field(default=None, description="As of `POST /v1/jobs`.")
    time_limit_s: float | None = Field(default=None, gt=0, description="As of `POST /v1/jobs`.")
    exports: list[Precision] | None = Field(default=None, description="As of `POST /v1/jobs`.")
    required_exports: list[Precision] | None = Field(default=None, description="As of `POST /v1/jobs`.")
    controls: bool | None = Field(default=None, description="As of `POST /v1/jobs`.")
    gate: Gate | None = Field(default=None, description="As of `POST /v1/jobs`.")

    task: Task | None = Field(
        default=None,
        description="Of files; default: the model's task, or text_classification where it has none.",
    )
    columns: ColumnNames | None = Field(default=None, description="Of files, as of `POST /v1/datasets`.")
    labels: Annotated[list[str], AfterValidator(LabelNames.validate_python)] | None = Field(
        default=None, description="Of files, as of `POST /v1/datasets`."
    )
    label_type: LabelType | None = Field(default=None, description="Of files, as of `POST /v1/datasets`.")
    teacher_scores_are: ScoresAre = Field(
        default="probabilities", description="Of files, as of `POST /v1/datasets`."
    )

    @property
    def names_dataset(self) -> bool:
        """Whether nothing is to be made of files."""
        return self.training_file.startswith(DATASET)

    @model_validator(mode="after")
    def _require_one_source(self) -> Self:
        if not self.names_dataset:
            return self
        if self.validation_file is not None:
            raise ValueError(
                "training_file is a data set, which has its own dev rows. Leave out validation_file"
            )
        if said := [name for name in _OF_FILES if name in self.model_fields_set]:
            raise ValueError(
                f"training_file is a data set, of which {', '.join(said)} is known. Leave that out"
                " or give files"
            )
        return self

    @model_validator(mode="after")
    def _require_one_word(self) -> Self:
        supervised = (
            isinstance(self.method, SupervisedMethod) and "supervised" in self.method.model_fields_set
        )
        if self.hyperparameters is not None and supervised:
            raise ValueError("hyperparameters are given twice. Give them in method.supervised alone")
        if twice := sorted(self._said().keys() & self.training.model_fields_set):
            raise ValueError(
                f"training has {', '.join(twice)}, which hyperparameters or seed give too. Say it once"
            )
        return self

    def _said(self) -> dict[str, int]:
        """What OpenAI's words say of the training."""
        hyperparameters = self.hyperparameters
        if isinstance(self.method, SupervisedMethod) and hyperparameters is None:
            hyperparameters = self.method.supervised.hyperparameters
        said = {} if hyperparameters is None else hyperparameters.training
        return said if self.seed is None else {**said, "seed": self.seed}

    def job(self, *, dataset: str, model_name: str) -> dict[str, Any]:
        """The body of ``POST /v1/jobs`` that means the same.

        Args:
            dataset: id of the one that the job is to use.
            model_name: display name of the model.
        """
        method = (
            FineTuningSpec(name="fine_tuning") if isinstance(self.method, SupervisedMethod) else self.method
        )
        job = {
            "teacher": self.model,
            "dataset": dataset,
            "method": method,
            "training": {**self.training.model_dump(exclude_unset=True), **self._said()},
            "student_name": self.suffix and f"{model_name[:130]} / {self.suffix}",
        }
        of_jobs = (
            "target",
            "teacher_weights",
            "time_limit_s",
            "exports",
            "required_exports",
            "controls",
            "gate",
        )
        return job | {name: value for name in of_jobs if (value := getattr(self, name)) is not None}
