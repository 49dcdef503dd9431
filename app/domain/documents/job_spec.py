"""A job as its row stores it and the worker reads it."""

from pydantic import BaseModel, ConfigDict, Field

from app.domain.documents.target import Target
from app.domain.documents.training import Precision, TrainingSpec
from app.domain.methods import TEACHER, MethodSpec, ModelInput


class JobSpec(BaseModel):
    """Everything that determines a job's result, besides the bytes of the model and the data."""

    model_config = ConfigDict(extra="forbid")

    teacher: str | None = Field(
        default=None,
        pattern=r"^mdl_[0-9A-Z]{26}$",
        description="Id of the model to compress; omit it for a scratch job that trains a first model.",
    )
    dataset: str = Field(
        pattern=r"^dst_[0-9A-Z]{26}$", description="Id of the data set to train and evaluate on."
    )
    method: MethodSpec
    target: Target | None = Field(
        default=None, description="Size target; omit it for methods that keep the size."
    )
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    exports: list[Precision] = Field(
        default=["fp32", "int8"], min_length=1, max_length=2, description="Precisions of the ONNX exports."
    )

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """The models that the job needs: its teacher, and those that the method names."""
        teacher = () if self.teacher is None else (ModelInput(TEACHER, self.teacher, "#/teacher"),)
        return teacher + self.method.inputs
