"""The trace that the attempts of a job belong to."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("trace_context", sa.String(55)))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.drop_column("trace_context")
