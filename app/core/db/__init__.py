"""Tables, one file an entity with its queries beside it."""

from app.core.db import checkpoints, datasets, jobs, models, orphans, workers
from app.core.db.base import Base
from app.core.db.postgres import Limits
from app.core.db.session import Database, ReadSession, WriteSession, after_commit, after_rollback

__all__ = [
    "Base",
    "Database",
    "Limits",
    "ReadSession",
    "WriteSession",
    "after_commit",
    "after_rollback",
    "checkpoints",
    "datasets",
    "jobs",
    "models",
    "orphans",
    "workers",
]
