"""Limits of projects, what counts against them, and who changed what."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_DEFAULT_PROJECT = "prj_00000000000000000000000000"
_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_LIMITS = {
    "max_stored_bytes": sa.BigInteger(),
    "max_queued_jobs": sa.Integer(),
    "max_running_jobs": sa.Integer(),
    "max_predictions_per_day": sa.BigInteger(),
    "max_requests_per_minute": sa.Integer(),
}


def upgrade() -> None:
    for name, kind in _LIMITS.items():
        op.add_column("projects", sa.Column(name, kind))
    for name in ("models", "datasets"):
        size = sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(name, size)
        _measure(name)
    op.create_table(
        "prediction_days",
        sa.Column("project_id", sa.String(30), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("predictions", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_prediction_days_project_id_projects"
        ),
        sa.PrimaryKeyConstraint("project_id", "day", name="pk_prediction_days"),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("project_id", sa.String(30), nullable=False, server_default=_DEFAULT_PROJECT),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(30), nullable=False),
        sa.Column("change", sa.String(16), nullable=False),
        sa.Column("request_id", sa.String(128)),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_audit_entries_project_id_projects"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_project_id", "audit_entries", ["project_id", "id"])
    op.create_index("ix_jobs_project_id_status", "jobs", ["project_id", "status"])


def _measure(name: str) -> None:
    """Write the size of what is stored so far."""
    table = sa.table(name, sa.column("id"), sa.column("manifest_json", _json), sa.column("size_bytes"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(table.c.id, table.c.manifest_json)).all():
        files = row.manifest_json.get("files") if isinstance(row.manifest_json, dict) else None
        entries = (files or {}).get("entries", {}).values()
        size = sum(entry["size_bytes"] for entry in entries)
        connection.execute(table.update().where(table.c.id == row.id).values(size_bytes=size))


def downgrade() -> None:
    op.drop_index("ix_jobs_project_id_status", "jobs")
    for table in ("audit_entries", "prediction_days"):
        op.drop_table(table)
    for name in ("datasets", "models"):
        with op.batch_alter_table(name) as table:
            table.drop_column("size_bytes")
    with op.batch_alter_table("projects") as table:
        for name in _LIMITS:
            table.drop_column(name)
