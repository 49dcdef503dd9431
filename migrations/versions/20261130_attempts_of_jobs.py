"""When a job may be tried again, how long it has run, and what its attempts have come to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("retry_at", sa.DateTime(timezone=True)))
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("jobs", sa.Column("attempt_record", json))
    op.add_column("jobs", sa.Column("running_s", sa.Double(), nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    op.drop_column("jobs", "running_s")
    op.drop_column("jobs", "attempt_record")
    op.drop_column("jobs", "retry_at")
