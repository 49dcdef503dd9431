"""What the endpoint of workers gives."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.core.db.workers import WorkerRow


class WorkerRead(BaseModel):
    """A worker process."""

    id: str
    object: Literal["worker"] = "worker"
    created_at: datetime = Field(description="When it started.")
    name: str
    host: str
    version: str
    status: Literal["alive", "lost"] = Field(description="Lost: not heard of for a lease.")
    problem: str | None = Field(description="Why it takes no jobs at the moment, if there is a reason.")
    heartbeat_at: datetime = Field(description="When it was heard of last.")
    queues: list[str] = Field(description="Queues that it takes jobs from.")
    methods: list[str] = Field(description="Methods that it supports.")
    devices: list[str]
    job: str | None = Field(description="Id of the job that it runs.")

    @classmethod
    def of(cls, worker: WorkerRow, *, now: datetime) -> "WorkerRead":
        """As of a time by the database's clock."""
        return cls(
            id=worker.id,
            created_at=worker.created_at,
            name=worker.name,
            host=worker.host,
            version=worker.version,
            status="alive" if worker.expires_at >= now else "lost",
            problem=worker.problem,
            heartbeat_at=worker.heartbeat_at,
            queues=worker.queues,
            methods=worker.methods,
            devices=worker.devices,
            job=worker.job_id,
        )
