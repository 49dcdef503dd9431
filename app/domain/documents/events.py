"""What happens to a job: the entries of its history, and how far it is."""

from datetime import datetime
from typing import Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, Field

from app.domain.documents.versions import Json, StoredDocument
from app.domain.errors import Unreadable
from app.domain.job_states import JobStatus


class Progress(BaseModel):
    """How far a stage is. May come at every step: only the newest one a heartbeat is kept.

    A job's process tells of its stage; who watches it knows the whole job, and adds the rest.
    """

    kind: Literal["progress"] = "progress"
    stage: str
    step: int
    total_steps: int
    fraction: float = Field(default=0.0, description="Of the whole job, in [0, 1].")
    eta_s: float | None = Field(default=None, description="Seconds that the whole job has left.")


class _Event(StoredDocument):
    """An entry of a job's history. Its kind is a column of its own, and what is None is left out."""

    kind: str

    def to_stored(self) -> Json:
        return {"version": self.newest_version(), **self.data}

    @property
    def data(self) -> dict[str, Any]:
        """All but the kind."""
        return self.model_dump(mode="json", exclude={"kind"}, exclude_none=True)


class StatusChange(_Event):
    """The job has another status, or has begun with its first."""

    document_name: ClassVar = "status event"

    kind: Literal["status"] = "status"
    status: JobStatus
    attempt: int
    reason: str | None = Field(default=None, description="Why it went back to the queue.")
    message: str | None = Field(default=None, description="The reason as a sentence.")
    retry_at: datetime | None = Field(default=None, description="It is not tried again before then.")
    student: str | None = Field(default=None, description="The model that a job which succeeded has made.")
    error: dict[str, str] | None = Field(default=None, description="Code and message of one that failed.")


class Metrics(_Event):
    """Values measured at a step; each one is kept in the job's history."""

    document_name: ClassVar = "metrics event"

    kind: Literal["metrics"] = "metrics"
    stage: str
    step: int
    values: dict[str, float]


class Message(_Event):
    """A sentence for the job's history."""

    document_name: ClassVar = "message event"

    kind: Literal["message"] = "message"
    level: Literal["info", "warning"] = "info"
    text: str


class TrialEvent(_Event):
    """A trial of a search has begun or ended."""

    document_name: ClassVar = "trial event"

    kind: Literal["trial"] = "trial"
    trial: int
    happened: Literal["started", "promoted", "result", "failed", "cancelled", "dropped"]
    job: str
    method: str
    parameters: int
    retained: float | None = Field(default=None, description="Share of the teacher's metric, of a result.")
    student: str | None = None


Event: TypeAlias = StatusChange | Metrics | Message | TrialEvent

_EVENTS: Final[dict[str, type[StatusChange] | type[Metrics] | type[Message] | type[TrialEvent]]] = {
    "status": StatusChange,
    "metrics": Metrics,
    "message": Message,
    "trial": TrialEvent,
}


def read_event(kind: str, stored: object, *, owner: str) -> Event:
    """An event as it was stored.

    Raises:
        Unreadable: of a kind that a later version of the service added, or not in the form of its kind.
    """
    if kind not in _EVENTS:
        raise Unreadable(owner, f"{owner} is of the kind {kind!r}, which this server does not know.")
    return _EVENTS[kind].from_stored(stored, owner=owner)
