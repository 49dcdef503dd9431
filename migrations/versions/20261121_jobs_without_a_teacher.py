"""Jobs that need no teacher."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as table:  # SQLite changes a column by copying its table
        table.alter_column("teacher_id", existing_type=sa.String(30), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM job_events WHERE job_id IN (SELECT id FROM jobs WHERE teacher_id IS NULL)")
    op.execute("DELETE FROM jobs WHERE teacher_id IS NULL")
    with op.batch_alter_table("jobs") as table:
        table.alter_column("teacher_id", existing_type=sa.String(30), nullable=False)
