"""Tables, one file an entity with its queries beside it."""

from app.core.db import (
    api_keys,
    audit,
    checkpoints,
    datasets,
    idempotency_keys,
    jobs,
    models,
    orphans,
    projects,
    signing_keys,
    stage_times,
    uploads,
    usage,
    webhooks,
    workers,
)
from app.core.db.base import Base
from app.core.db.ownership import DEFAULT_PROJECT, Actor
from app.core.db.postgres import Limits
from app.core.db.session import (
    DATABASE_UNAVAILABLE,
    Database,
    ProjectDatabase,
    ProjectReadSession,
    ProjectWriteSession,
    ReadSession,
    WriteSession,
    after_commit,
    after_rollback,
)

__all__ = [
    "DATABASE_UNAVAILABLE",
    "DEFAULT_PROJECT",
    "Actor",
    "Base",
    "Database",
    "Limits",
    "ProjectDatabase",
    "ProjectReadSession",
    "ProjectWriteSession",
    "ReadSession",
    "WriteSession",
    "after_commit",
    "after_rollback",
    "api_keys",
    "audit",
    "checkpoints",
    "datasets",
    "idempotency_keys",
    "jobs",
    "models",
    "orphans",
    "projects",
    "signing_keys",
    "stage_times",
    "uploads",
    "usage",
    "webhooks",
    "workers",
]
