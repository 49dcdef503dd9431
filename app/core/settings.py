"""What configures a process, from the environment (``SQUEEZE_…``). What a client asks for is a spec."""

from datetime import timedelta
from functools import cache
from pathlib import Path

from pydantic import Field, computed_field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Defaults are those of one machine with nothing installed: SQLite, a folder, a local Valkey."""

    model_config = SettingsConfigDict(env_prefix="SQUEEZE_", extra="ignore")

    data_dir: Path = Field(
        default=Path(".squeeze"), description="Database, files, sockets and caches live here."
    )
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; default: SQLite in data_dir.")
    broker_url: str | None = Field(
        default=None, description="Redis URL; default: none, workers poll the table."
    )
    storage_url: str | None = Field(
        default=None, description="s3://bucket/prefix or file:///path; default: a folder in data_dir."
    )
    s3_endpoint: str | None = Field(default=None, description="For an S3-compatible store of one's own.")
    hub_endpoint: str = Field(
        default="https://huggingface.co", description="Where models named by hub id come from."
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    request_threads: int = Field(
        default=32, ge=1, description="Requests worked on at once; each may hold a database connection."
    )

    max_body_bytes: int = Field(default=8 * 2**20, gt=0, description="Of a request that uploads no file.")
    max_upload_bytes: int = Field(default=4 * 2**30, gt=0)
    max_unpacked_bytes: int = Field(default=8 * 2**30, gt=0)
    max_rows: int = Field(default=20_000_000, gt=0, description="Rows of one data set, over all its splits.")

    lease: timedelta = Field(
        default=timedelta(seconds=30), description="A job whose lease ran out is taken up again."
    )
    heartbeat: timedelta = Field(
        default=timedelta(seconds=2), description="How often a running job renews its lease."
    )
    sweep_interval: timedelta = Field(
        default=timedelta(seconds=5), description="How often lost jobs are looked for."
    )
    announce_again: timedelta = Field(
        default=timedelta(minutes=10), description="When a queued job's announcement counts as lost."
    )
    poll_interval: timedelta = Field(
        default=timedelta(seconds=1), description="For a worker without a broker."
    )
    cancel_grace: timedelta = Field(default=timedelta(seconds=10), description="From SIGTERM to SIGKILL.")
    max_attempts: int = Field(default=3, ge=1, description="A job whose workers die this often has failed.")

    onnx_tolerance: float = Field(default=1e-4, gt=0, description="Largest |torch - ONNX| on logits, fp32.")
    int8_min_agreement: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Least share of dev texts that int8 labels as fp32 does, and of its metric.",
    )

    inference_threads: int = Field(
        default=0, ge=0, description="Threads that predict on one model; 0: one a core."
    )
    inference_sessions: int = Field(default=8, ge=1, description="Models held in memory at once.")
    inference_batch: int = Field(default=32, ge=1, description="Texts that one run takes at most.")
    inference_queue: int = Field(
        default=1024, ge=1, description="Texts that may wait; more are answered 429."
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'squeeze.db').resolve()}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def resolved_storage_url(self) -> str:
        return self.storage_url or f"file://{(self.data_dir / 'files').resolve()}"

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
    return Settings()
