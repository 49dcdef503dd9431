"""Files in the store that no row names, and since when."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "storage_orphans",
        sa.Column("prefix", sa.String(255), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name="pk_storage_orphans"),
    )


def downgrade() -> None:
    op.drop_table("storage_orphans")
