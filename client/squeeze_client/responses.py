"""What the service answers with. Fields that the client does not know are kept, not refused."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Response(BaseModel):
    """An answer, or a part of one.

    Attributes:
        schema_name: its schema in the API's description.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    schema_name: ClassVar[str]


class Failure(Response):
    """Why something failed: a stable code, and a sentence."""

    schema_name = "JobFailure"

    code: str
    message: str


class Lineage(Response):
    """What a model was made from; empty for an uploaded one."""

    schema_name = "Lineage"

    job: str | None
    teacher: str | None
    dataset: str | None
    method: str | None


class GateResult(Response):
    """Whether a student reached what it must to be served."""

    schema_name = "GateResult"


class Model(Response):
    """A registered model."""

    schema_name = "ModelRead"

    id: str
    created_at: datetime
    name: str
    origin: str
    status: str
    error: Failure | None
    architecture: str | None
    task: str | None
    labels: list[str] | None
    parameters: int | None
    size_bytes: int
    sha256: str | None
    lineage: Lineage
    gate: GateResult | None = None
    metrics: dict[str, Any]
    manifest: dict[str, Any] | None

    @property
    def files(self) -> dict[str, int]:
        """Sizes of its files in bytes, by name."""
        entries = ((self.manifest or {}).get("files") or {}).get("entries") or {}
        return {name: entry["size_bytes"] for name, entry in entries.items()}

    @property
    def notes(self) -> list[str]:
        """What was assumed when it was read."""
        return list((self.manifest or {}).get("notes") or [])


class Split(Response):
    """One table of a data set."""

    schema_name = "SplitSummary"

    rows: int
    labels: dict[str, int] | None = None


class DatasetCheck(Response):
    """How tables are understood."""

    schema_name = "DatasetCheck"

    task: str
    labels: list[str]
    rows: int
    splits: dict[str, Split]
    reading: dict[str, Any] | None


class Dataset(DatasetCheck):
    """A data set."""

    schema_name = "DatasetRead"

    id: str
    created_at: datetime
    name: str
    size_bytes: int
    sha256: str


class Progress(Response):
    """How far a job is: ``fraction`` from 0 to 1."""

    schema_name = "JobProgress"

    stage: str | None
    step: int
    total_steps: int | None
    fraction: float
    eta_s: float | None


class JobData(Response):
    """A job's request, its progress and its result."""

    schema_name = "JobRead"

    id: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    status: str
    status_message: str | None
    attempt: int
    teacher: str | None
    dataset: str
    method: dict[str, Any]
    target: dict[str, Any] | None
    training: dict[str, Any]
    running_s: float
    progress: Progress
    metrics: dict[str, Any]
    student: str | None
    search: dict[str, Any] | None
    error: Failure | None

    @property
    def has_ended(self) -> bool:
        """Whether its status is final."""
        return self.status in ("succeeded", "failed", "cancelled")


class Event(Response):
    """An entry of a job's history. Ids count from 1 within the job."""

    schema_name = "EventRead"

    id: int
    created_at: datetime
    kind: str
    data: dict[str, Any]


class Plan(Response):
    """What a job would make, and what it would cost."""

    schema_name = "PlanRead"

    student: dict[str, Any]
    teacher: dict[str, Any] | None
    estimate: dict[str, Any]


class SearchPlan(Response):
    """What a search may try, and what it would cost."""

    schema_name = "SearchPlanRead"

    candidates: list[dict[str, Any]]
    trials: int
    full_runs: int
    minutes: float
    worker_minutes: float


class Method(Response):
    """A method of compression."""

    schema_name = "MethodRead"

    name: str
    title: str
    summary: str
    when: str
    tasks: list[str]
    parameters: dict[str, Any]


class Endpoint(Response):
    """A name that stands for a model wherever predictions are asked for."""

    schema_name = "EndpointRead"

    id: str
    created_at: datetime
    updated_at: datetime
    name: str
    model: str
    precision: str | None
    canary: dict[str, Any] | None
    fallback: dict[str, Any] | None
    earlier: list[dict[str, Any]]


class Key(Response):
    """An API key, without its secret."""

    schema_name = "KeyRead"

    id: str
    created_at: datetime
    name: str
    project: str
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class KeyWithSecret(Key):
    """An API key with its secret, which is shown this once."""

    schema_name = "KeyWithSecret"

    secret: str


class ReportData(Response):
    """The report of a job: its models side by side."""

    schema_name = "ReportRead"

    job: str
    method: str
    created_at: datetime
    metrics: dict[str, Any]
    warnings: list[Any]


class Readiness(Response):
    """Whether the service can work, by part: ``ok`` or what is wrong."""

    schema_name = "ReadinessRead"

    status: str
    database: str
    broker: str
    store: str
    disk: str
    workers: str
