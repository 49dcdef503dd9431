"""The models that a job needs, by role: its teacher and those that its method names."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_jobs = sa.table("jobs", sa.column("id"), sa.column("teacher_id"), sa.column("spec", _json))
_inputs = sa.table("job_inputs", sa.column("job_id"), sa.column("role"), sa.column("model_id"))


def upgrade() -> None:
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("model_id", sa.String(30), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_inputs_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "role", name="pk_job_inputs"),
    )
    op.create_index("ix_job_inputs_model_id", "job_inputs", ["model_id"])
    small_model = _jobs.c.spec["method"]["gate"]["small_model"].as_string()
    for role, model_id in (("teacher", _jobs.c.teacher_id), ("small_model", small_model)):
        rows = sa.select(_jobs.c.id, sa.literal(role), model_id).where(model_id.is_not(None))
        op.execute(_inputs.insert().from_select(["job_id", "role", "model_id"], rows))
    with op.batch_alter_table("jobs") as table:
        table.drop_column("teacher_id")


def downgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("teacher_id", sa.String(30)))
    teacher = sa.select(_inputs.c.model_id).where(_inputs.c.job_id == _jobs.c.id, _inputs.c.role == "teacher")
    op.execute(_jobs.update().values(teacher_id=teacher.scalar_subquery()))
    op.drop_table("job_inputs")
