"""The queue of a job, when it was queued, and indexes for those who look for queued and unfinished jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_queued = sa.text("status = 'queued'")
_unfinished = sa.text("status IN ('queued', 'running')")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("queue", sa.String(64), nullable=False, server_default="squeeze"))
    op.add_column("jobs", sa.Column("queued_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE jobs SET announced_at = created_at WHERE announced_at IS NULL")
    _create_index("ix_jobs_queue_id", ["queue", "id"], _queued)
    _create_index("ix_jobs_queue_announced_at", ["queue", "announced_at"], _queued)
    _create_index("ix_jobs_unfinished", ["id"], _unfinished)
    _create_index("ix_jobs_unfinished_dataset_id", ["dataset_id"], _unfinished)


def downgrade() -> None:
    for name in (
        "ix_jobs_unfinished_dataset_id",
        "ix_jobs_unfinished",
        "ix_jobs_queue_announced_at",
        "ix_jobs_queue_id",
    ):
        op.drop_index(name, "jobs")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("queued_at")
        table.drop_column("queue")


def _create_index(name: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, "jobs", columns, postgresql_where=where, sqlite_where=where)
