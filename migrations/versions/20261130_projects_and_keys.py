"""Projects and their API keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_DEFAULT_PROJECT = "prj_00000000000000000000000000"
_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
    )
    op.execute(
        projects.insert().values(id=_DEFAULT_PROJECT, created_at=sa.func.current_timestamp(), name="default")
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("project_id", sa.String(30), nullable=False, server_default=_DEFAULT_PROJECT),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("scopes", _json, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("previous_digest", sa.String(64)),
        sa.Column("previous_expires_at", _time),
        sa.Column("expires_at", _time),
        sa.Column("revoked_at", _time),
        sa.Column("last_used_at", _time),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_api_keys_project_id_projects"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_project_id", "api_keys", ["project_id", "id"])


def downgrade() -> None:
    op.drop_table("api_keys")
    op.drop_table("projects")
