"""Values as JSON Schema has them: no boolean is a number, no text is either, and 2.0 is an integer."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class ExactModel(BaseModel):
    """A part of a request: a value of another type, and a member that is unknown, is refused."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _take_whole_numbers(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: _whole(member) for name, member in value.items()}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
