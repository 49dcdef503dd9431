"""What jobs took on the workers' devices, stage by stage."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "stage_times",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("device", sa.String(255), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("step_products", sa.Double(), nullable=False),
        sa.Column("figures_version", sa.Integer(), nullable=False),
        sa.Column("ratios", _json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stage_times"),
    )
    op.create_index("ix_stage_times_device_method", "stage_times", ["device", "method"])


def downgrade() -> None:
    op.drop_table("stage_times")
