"""Endpoints: names that stand for models."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_DEFAULT_PROJECT = "prj_00000000000000000000000000"


def _project() -> sa.Column[str]:
    return sa.Column("project_id", sa.String(30), nullable=False, server_default=_DEFAULT_PROJECT)


def upgrade() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("target_json", _json, nullable=False),
        sa.Column("earlier_json", _json, nullable=False),
        _project(),
        sa.PrimaryKeyConstraint("id", name="pk_endpoints"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_endpoints_project_id_projects"),
    )
    op.create_index("uq_endpoints_project_id_name", "endpoints", ["project_id", "name"], unique=True)
    op.create_table(
        "endpoint_models",
        sa.Column("endpoint_id", sa.String(30), nullable=False),
        sa.Column("model_id", sa.String(30), nullable=False),
        _project(),
        sa.PrimaryKeyConstraint("endpoint_id", "model_id", name="pk_endpoint_models"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["endpoints.id"],
            name="fk_endpoint_models_endpoint_id_endpoints",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_endpoint_models_project_id_projects"
        ),
    )
    op.create_index("ix_endpoint_models_model_id", "endpoint_models", ["model_id"])


def downgrade() -> None:
    op.drop_table("endpoint_models")
    op.drop_table("endpoints")
