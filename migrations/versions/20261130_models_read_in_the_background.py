"""Models that are read in the background: until then they have no manifest."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("models") as table:  # SQLite changes a column by copying its table
        # An earlier version of the service, which may still run, writes rows without these: they are ready.
        table.add_column(sa.Column("status", sa.String(16), nullable=False, server_default="ready"))
        table.add_column(sa.Column("source", _json, nullable=True))
        table.add_column(sa.Column("progress", _json, nullable=True))
        table.add_column(sa.Column("error", _json, nullable=True))
        table.add_column(sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
        table.alter_column("manifest_json", existing_type=_json, nullable=True)
        table.create_index("ix_models_due_at", ["due_at"])


def downgrade() -> None:
    op.execute("DELETE FROM models WHERE status <> 'ready'")
    with op.batch_alter_table("models") as table:
        table.drop_index("ix_models_due_at")
        table.alter_column("manifest_json", existing_type=_json, nullable=False)
        for name in ("attempt", "due_at", "error", "progress", "source", "status"):
            table.drop_column(name)
