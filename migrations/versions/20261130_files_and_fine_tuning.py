"""Files, which are uploads with a purpose, and what clients of OpenAI's API said of their jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("uploads", sa.Column("purpose", sa.String(32), nullable=True))
    op.create_index("ix_uploads_project_id", "uploads", ["project_id", "id"])
    op.create_table(
        "fine_tuning_requests",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("training_file", sa.String(30), nullable=False),
        sa.Column("validation_file", sa.String(30), nullable=True),
        sa.Column("metadata_json", _json, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_fine_tuning_requests"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_fine_tuning_requests_job_id_jobs", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("fine_tuning_requests")
    op.drop_index("ix_uploads_project_id", "uploads")
    op.drop_column("uploads", "purpose")
