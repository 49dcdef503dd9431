"""A job keeps the plan that its client was shown, and the fingerprint of what the client sent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("plan", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")))
    # Those so far are of the body with that version's defaults: no request can be compared with them.
    op.execute("UPDATE jobs SET request_fingerprint = NULL")


def downgrade() -> None:
    op.execute("UPDATE jobs SET request_fingerprint = NULL")
    op.drop_column("jobs", "plan")
