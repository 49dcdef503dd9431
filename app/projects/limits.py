"""What may be limited for a project."""

from typing import Annotated

from pydantic import Field

from app.domain.exact_types import ExactModel

_MAX_COUNT = 2**31 - 1
_MAX_BYTES = 2**53

_Count = Annotated[int | None, Field(ge=0, le=_MAX_COUNT)]


class ProjectLimits(ExactModel):
    """What a project may have and use. Null: no limit."""

    max_stored_bytes: int | None = Field(
        default=None, ge=0, le=_MAX_BYTES, description="Files of its models and data sets."
    )
    max_queued_jobs: _Count = None
    max_running_jobs: _Count = Field(default=None, description="Further ones wait in the queue.")
    max_predictions_per_day: int | None = Field(
        default=None, ge=0, le=_MAX_BYTES, description="Texts, from 00:00 UTC."
    )
    max_requests_per_minute: int | None = Field(
        default=None, ge=1, le=_MAX_COUNT, description="Of each API key, in each process of the API."
    )
