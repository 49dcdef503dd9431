"""How small a student must be: one bound, or a shape."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.core.shapes import Shape


class Target(BaseModel):
    """Exactly one of the four."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    compression_ratio: float | None = Field(
        default=None, gt=1, le=1000, description="Teacher parameters over student parameters, at least."
    )
    max_parameters: int | None = Field(default=None, gt=0, description="Parameters, at most.")
    max_size_mb: float | None = Field(
        default=None, gt=0, le=1_000_000, description="Megabytes (10^6 bytes) of fp32 weights, at most."
    )
    shape: Shape | None = Field(default=None, description="The student's dimensions themselves.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "Target":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of compression_ratio, max_parameters, max_size_mb and shape; "
                f"got {', '.join(given) or 'none'}"
            )
        return self
