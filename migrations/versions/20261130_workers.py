"""The table of workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("queues", _json, nullable=False),
        sa.Column("methods", _json, nullable=False),
        sa.Column("documents", _json, nullable=False),
        sa.Column("devices", _json, nullable=False),
        sa.Column("heartbeat_at", _time, nullable=False),
        sa.Column("expires_at", _time, nullable=False),
        sa.Column("job_id", sa.String(30)),
        sa.Column("problem", sa.String()),
        sa.Column("counts", _json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_index("ix_workers_expires_at", "workers", ["expires_at"])


def downgrade() -> None:
    op.drop_table("workers")
