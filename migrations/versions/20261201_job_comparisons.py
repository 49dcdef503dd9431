"""How the models of a job compare, beside the job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "job_comparisons",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("comparison", _json, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_comparisons"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_comparisons_job_id_jobs", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("job_comparisons")
