"""The installation's signing keys."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("private_key", sa.String(512), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_signing_keys"),
    )


def downgrade() -> None:
    op.drop_table("signing_keys")
