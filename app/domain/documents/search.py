"""A search as its job's row stores it: candidates, trials and what came of them."""

from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from app.domain.documents.auto import Goals, SearchBudget
from app.domain.documents.target import Target
from app.domain.documents.training import Precision, TrainingSpec
from app.domain.documents.versions import Json, StoredDocument
from app.domain.methods import MethodSpec

TrialStatus = Literal["running", "finished", "failed", "cancelled"]
StopReason = Literal["cancel", "keep", "budget"]


class Candidate(BaseModel):
    """A student that the search may try, as it is planned."""

    method: MethodSpec
    target: Target
    training: TrainingSpec = Field(description="Of a full run.")
    parameters: int
    size_mb: dict[str, float] = Field(description="Planned, by precision.")
    seconds: float = Field(description="Estimated, of a full run.")
    training_seconds: float = Field(description="Of these, what a shorter run saves in proportion.")


class Measurement(BaseModel):
    """One file of a trial's student."""

    precision: Precision
    parameters: int
    size_mb: float
    latency_ms: float | None = Field(description="Of one text; null where it was not measured.")
    quality: float = Field(description="The task's main metric on dev.")
    retained: float = Field(description="Share of the teacher's metric.")
    retained_low: float = Field(description="Lower bound of its bootstrap interval.")
    retained_high: float


class Trial(BaseModel):
    """One run of a candidate, by a job of its own."""

    number: int = Field(description="From 1, in the order in which they began.")
    candidate: int = Field(description="Index of the candidate.")
    rung: int = Field(description="0: a short run; the last rung trains in full.")
    share: float = Field(description="Of the candidate's planned epochs.")
    job: str
    status: TrialStatus = "running"
    student: str | None = None
    measurements: list[Measurement] = []


class Choice(BaseModel):
    """A file of a trial's student."""

    trial: int
    precision: Precision


class UnmetGoal(BaseModel):
    """A goal that no student meets, and what comes closest to it."""

    goal: str
    asked: float
    closest: float
    trial: int


class Outcome(BaseModel):
    """What trials so far come to."""

    front: list[Choice] = Field(
        default=[], description="Students that no other beats in both quality and what is minimised."
    )
    best: Choice | None = Field(default=None, description="The smallest that meets all goals.")
    closest: Choice | None = Field(default=None, description="Where none does: what comes closest.")
    unmet: list[UnmetGoal] = Field(
        default=[], description="Goals that no student meets together with the others; empty if one does."
    )


class SearchState(StoredDocument):
    """All that decides how a search goes on: whichever worker reads it takes the same step."""

    document_name: ClassVar = "search"

    goals: Goals
    budget: SearchBudget
    candidates: list[Candidate]
    trials: list[Trial] = Field(default=[])
    outcome: Outcome = Field(default_factory=Outcome)
    stop: StopReason | None = None
    is_over: bool = False

    def to_stored(self) -> Json:
        """Without what is as it is by default: dozens of candidates are read with every look at the job."""
        stored = self.model_dump(mode="json", exclude_defaults=True)
        return {"version": self.newest_version(), **stored}

    @property
    def running(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == "running"]

    @property
    def finished(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == "finished"]
