"""What configures a process, from the environment (``SQUEEZE_…``). What a client asks for is a spec."""

import os
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.logging import LogFormat, without_secrets
from app.core.service_urls import SCHEMES, read_service_url
from app.core.units import read_duration, read_size

DEFAULT_QUEUE = "squeeze"
DEFAULT_HUB = "https://huggingface.co"


def _listed(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Defaults are those of one machine with nothing installed: SQLite, a folder, a local Valkey.

    Durations may be written as seconds, ``45s``, ``1h30m`` or ISO 8601, sizes as bytes, ``512MB``, ``4GiB``.
    """

    model_config = SettingsConfigDict(env_prefix="SQUEEZE_", extra="ignore")

    data_dir: Path = Field(
        default=Path(".squeeze"), description="Database, files, sockets and caches live here."
    )
    log_format: LogFormat = Field(
        default="text", description="Of the log on standard error: text, or json, a line for each record."
    )
    database_url: str | None = Field(
        default=None, repr=False, description="SQLAlchemy URL; default: SQLite in data_dir."
    )
    database_timeout: timedelta = Field(
        default=timedelta(seconds=20), gt=timedelta(0), description="Longest wait for PostgreSQL's answer."
    )
    broker_url: str | None = Field(
        default=None, repr=False, description="Redis URL; default: none, workers poll the table."
    )
    storage_url: str | None = Field(
        default=None, description="s3://bucket/prefix or file:///path; default: a folder in data_dir."
    )
    storage_timeout: timedelta = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="Longest duration of one request to an S3-compatible store.",
    )
    s3_endpoint: str | None = Field(
        default=None, description="URL of an S3-compatible object store; default: AWS."
    )
    hub_endpoint: str = Field(
        default=DEFAULT_HUB,
        description="Hub from which models are downloaded; another than the default may have a private "
        "address.",
    )

    hub_redirects: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default=["huggingface.co", "hf.co"],
        description="Comma-separated hosts to which the hub may redirect downloads, and those beneath them.",
    )
    hub_timeout: timedelta = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="Longest single wait for the hub's answer.",
    )

    queues: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default=[DEFAULT_QUEUE],
        min_length=1,
        description="Comma-separated. A worker takes jobs from all; the API puts new ones into the first.",
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    loopback_without_key: bool = Field(
        default=False,
        description="Requests from this machine need no API key, except for keys, projects and the audit "
        "log. `squeeze up` sets it when it listens on a loopback address.",
    )
    allowed_hosts: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default=[],
        description="Comma-separated names under which clients and browsers reach the API; default: those of "
        "this machine where the API listens to it alone, else any. `*`: any.",
    )
    request_threads: int = Field(
        default=32, ge=1, description="Requests handled concurrently; each may hold a database connection."
    )

    drain: timedelta = Field(
        default=timedelta(seconds=20),
        ge=timedelta(seconds=1),
        description="Time that requests under way have to finish when the API is told to stop.",
    )

    keep_alive: timedelta = Field(
        default=timedelta(seconds=75),
        ge=timedelta(seconds=1),
        description="How long a connection is kept on which no request comes: longer than clients and "
        "proxies keep theirs.",
    )

    keep_idempotency_keys: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        description="How long a request that is sent again with its Idempotency-Key gets the first answer.",
    )

    webhook_timeout: timedelta = Field(
        default=timedelta(seconds=15),
        gt=timedelta(0),
        description="Time that the receiver of a webhook has to answer.",
    )
    webhook_private_addresses: bool = Field(
        default=False,
        description="Webhooks may lead to private addresses, this machine's too, and to http URLs.",
    )
    keep_webhook_deliveries: timedelta = Field(
        default=timedelta(days=30), gt=timedelta(0), description="How long the log of deliveries is kept."
    )

    max_body_bytes: int = Field(
        default=8 * 2**20, gt=0, description="Largest request body, file uploads excepted."
    )
    max_upload_bytes: int = Field(default=4 * 2**30, gt=0)
    max_unpacked_bytes: int = Field(default=8 * 2**30, gt=0)
    upload_timeout: timedelta = Field(
        default=timedelta(hours=2),
        gt=timedelta(0),
        description="Time that a request body may take to arrive.",
    )
    upload_stall: timedelta = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="How far a request body may fall behind the minimum rate before it gets a 408.",
    )
    min_upload_rate_bytes: int = Field(
        default=8 * 2**10, ge=1, description="Minimum rate of request bodies, in bytes per second."
    )
    intake_processes: int = Field(
        default=4, ge=1, description="Uploads that are read at once, each in a process with limits."
    )
    hub_downloads: int = Field(default=2, ge=1, description="Models that are taken from the hub at once.")
    background_above_bytes: int = Field(
        default=256 * 2**20,
        ge=0,
        description="Larger models, as archives or on the hub, are read in the background: their client gets "
        "a 202 at once.",
    )
    background_intakes: int = Field(
        default=2, ge=1, description="Models that are read in the background at once, beside the others."
    )
    min_free_bytes: int = Field(
        default=64 * 2**20, ge=0, description="A disk with less room counts as full: see `/readyz`."
    )
    max_rows: int = Field(
        default=20_000_000, gt=0, description="Maximum rows of a data set, over all splits."
    )

    lease: timedelta = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        description="A running job whose lease expires is requeued.",
    )
    heartbeat: timedelta = Field(
        default=timedelta(seconds=2),
        gt=timedelta(0),
        description="How often a running job renews its lease; at most half of it.",
    )
    sweep_interval: timedelta = Field(
        default=timedelta(seconds=5), description="Interval between sweeps for lost jobs."
    )
    cleanup_interval: timedelta = Field(
        default=timedelta(hours=1),
        gt=timedelta(0),
        description="How often a worker looks for files that nobody needs any more.",
    )
    keep_audit: timedelta | None = Field(
        default=None,
        gt=timedelta(0),
        description="How long entries of the audit log are kept; default: for ever.",
    )
    keep_uploads: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        description="How long an upload in parts is kept while nothing more of it comes.",
    )
    keep_orphans: timedelta = Field(
        default=timedelta(days=1),
        description="How long stored files that no row names are kept once they were noticed.",
    )
    keep_work: timedelta = Field(
        default=timedelta(days=1),
        description="How long a work folder is kept when its unfinished job has left the machine.",
    )
    keep_cache: timedelta = Field(
        default=timedelta(days=30), description="How long an unused file of the cache is kept."
    )
    cache_max_bytes: int = Field(
        default=50 * 2**30,
        ge=0,
        description="Largest size of a worker's cache; what is unused for longest goes.",
    )
    announce_again: timedelta = Field(
        default=timedelta(minutes=10),
        description="Age after which a lost announcement is repeated, unless the broker has none at all.",
    )
    poll_interval: timedelta = Field(
        default=timedelta(seconds=1),
        gt=timedelta(0),
        description="How often a worker polls the jobs table.",
    )
    cancel_grace: timedelta = Field(
        default=timedelta(seconds=5),
        description="Time that the process of a cancelled job has to stop by itself before it is killed.",
    )
    confine_jobs: bool = Field(
        default=True,
        description="Whether a job's process may write to its own folders only and has no network (Landlock "
        "and seccomp).",
    )
    shutdown_grace: timedelta = Field(
        default=timedelta(seconds=15),
        description="The same for a worker that is told to stop: its job's process saves a checkpoint first.",
    )
    job_time_limit: timedelta = Field(
        default=timedelta(days=3),
        gt=timedelta(0),
        description="Time that a job may run, over all its attempts; a job may ask for less.",
    )
    stall_limit: timedelta = Field(
        default=timedelta(minutes=30),
        gt=timedelta(0),
        description="Time without a sign of progress after which a job's process is ended and retried.",
    )
    checkpoint_interval: timedelta = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        description="How often a job in training writes a checkpoint, which then goes to the object store.",
    )
    max_attempts: int = Field(
        default=5, ge=1, description="Failed attempts in a row without progress after which a job fails."
    )
    max_outages: int = Field(
        default=300,
        ge=1,
        description="The same for attempts that end because the object store is away: about a day of them.",
    )
    retry_delay: timedelta = Field(
        default=timedelta(seconds=5),
        ge=timedelta(0),
        description="Delay before a failed attempt is retried; doubles with each one without progress.",
    )
    max_retry_delay: timedelta = Field(
        default=timedelta(minutes=5), ge=timedelta(0), description="Longest delay before a retry."
    )

    onnx_tolerance: float = Field(default=1e-4, gt=0, description="Largest |torch - ONNX| on logits, fp32.")
    int8_min_agreement: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Minimum share of dev predictions, and of the metric, that int8 keeps of fp32.",
    )

    inference_threads: int = Field(
        default=0, ge=0, description="Inference threads per model; 0: one per core."
    )
    inference_sessions: int = Field(default=8, ge=1, description="Models held in memory at once.")
    inference_batch: int = Field(default=32, ge=1, description="Maximum batch size of one inference call.")
    inference_queue: int = Field(
        default=1024, ge=1, description="Maximum texts queued per model; further requests get a 429."
    )
    inference_wait: timedelta = Field(
        default=timedelta(seconds=1),
        gt=timedelta(0),
        description="Longest estimated wait of a prediction for its turn; others get a 429. What takes long "
        "itself may wait for ten times as long as it takes.",
    )

    inference_cache_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory for answers to texts that are asked again, in each process; 0: none are kept.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: object, info: ValidationInfo) -> object:
        """What the environment says, where it is more than pydantic reads."""
        assert info.field_name is not None
        if not isinstance(value, str):
            return value
        if cls.model_fields[info.field_name].annotation in (timedelta, timedelta | None):
            return read_duration(value)
        if info.field_name.endswith("_bytes"):
            return read_size(value)
        if info.field_name in SCHEMES:
            return read_service_url(value, info.field_name)
        return value

    @model_validator(mode="after")
    def _check_heartbeat(self) -> Self:
        if 2 * self.heartbeat > self.lease:
            raise ValueError(
                f"SQUEEZE_HEARTBEAT={self.heartbeat.total_seconds():g}s must be at most half of "
                f"SQUEEZE_LEASE={self.lease.total_seconds():g}s"
            )
        return self

    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'squeeze.db').resolve()}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def resolved_storage_url(self) -> str:
        return self.storage_url or f"file://{(self.data_dir / 'files').resolve()}"

    @property
    def is_local(self) -> bool:
        """Whether the API listens to this machine alone."""
        return self.host == "localhost" or self.host.startswith("127.") or self.host == "::1"

    @property
    def cache_dir(self) -> Path:
        """Where workers keep teacher outputs between jobs."""
        return self.data_dir / "cache"

    @property
    def work_dir(self) -> Path:
        """Where workers keep a running job's files, checkpoints among them."""
        return self.data_dir / "work"


@cache
def get_settings() -> Settings:
    """Of this process, which ends with status 2 where one is wrong."""
    return load_settings()


def load_settings(**given: Any) -> Settings:
    """What is given, and the environment for the rest.

    Raises:
        SystemExit: a setting is wrong; a line on standard error names each such setting.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            sys.stderr.write(f"squeeze: {_explain(fault)}\n")
    raise SystemExit(2)


def _explain(fault: ErrorDetails) -> str:
    """The variable, what it was set to, and what is expected."""
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return f"{message}."
    name = str(fault["loc"][0])
    variable = f"SQUEEZE_{name.upper()}"
    value = without_secrets(os.environ.get(variable, str(fault["input"])))
    text = f"{variable}={value}: {message[0].lower()}{message[1:]}."
    description = Settings.model_fields[name].description
    return f"{text} {description}" if description else text
