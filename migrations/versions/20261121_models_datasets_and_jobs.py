"""Models, data sets and jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("manifest_json", _json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("manifest_json", _json, nullable=False),
        sa.Column("metrics", _json, nullable=False),
        sa.Column("job_id", sa.String(30)),
        sa.Column("teacher_id", sa.String(30)),
        sa.Column("dataset_id", sa.String(30)),
        sa.Column("method", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
    )
    op.create_index("ix_models_job_id", "models", ["job_id"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("started_at", _time),
        sa.Column("finished_at", _time),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("spec", _json, nullable=False),
        sa.Column("teacher_id", sa.String(30), nullable=False),
        sa.Column("dataset_id", sa.String(30), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("request_fingerprint", sa.String(64)),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(128)),
        sa.Column("lease_expires_at", _time),
        sa.Column("cancel_requested_at", _time),
        sa.Column("announced_at", _time),
        sa.Column("progress", _json, nullable=False),
        sa.Column("report", _json, nullable=False),
        sa.Column("student_id", sa.String(30)),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.String()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("idempotency_key", name="uq_jobs_idempotency_key"),
    )
    op.create_index("ix_jobs_status_lease", "jobs", ["status", "lease_expires_at"])
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("data", _json, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_events_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_job_events"),
    )


def downgrade() -> None:
    for table in ("job_events", "jobs", "models", "datasets"):
        op.drop_table(table)
