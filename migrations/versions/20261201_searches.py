"""Searches: jobs with child jobs, and what decides how they go on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("parent_id", sa.String(30), nullable=True))
    op.add_column("jobs", sa.Column("search", _json, nullable=True))
    op.add_column(
        "jobs", sa.Column("search_version", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_index("ix_jobs_parent_id", "jobs", ["parent_id", "id"])
    unfinished = sa.text("method = 'auto' AND status IN ('queued', 'running')")
    op.create_index(
        "ix_jobs_unfinished_searches", "jobs", ["id"], postgresql_where=unfinished, sqlite_where=unfinished
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_unfinished_searches", "jobs")
    op.drop_index("ix_jobs_parent_id", "jobs")
    for column in ("search_version", "search", "parent_id"):
        op.drop_column("jobs", column)
