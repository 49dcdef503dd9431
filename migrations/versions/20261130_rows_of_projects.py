"""Models, data sets and jobs belong to projects: those so far to the default one.

Their files stay where they are: rows name the prefix.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_DEFAULT_PROJECT = "prj_00000000000000000000000000"


def upgrade() -> None:
    for name in ("models", "datasets", "jobs"):
        with op.batch_alter_table(name) as table:  # SQLite adds such columns by copying the table
            # An earlier version of the service, which may still run, writes rows without it.
            table.add_column(
                sa.Column("project_id", sa.String(30), nullable=False, server_default=_DEFAULT_PROJECT)
            )
            table.create_foreign_key(f"fk_{name}_project_id_projects", "projects", ["project_id"], ["id"])
            table.create_index(f"ix_{name}_project_id", ["project_id", "id"])
            if name == "jobs":
                table.drop_constraint("uq_jobs_idempotency_key", type_="unique")
                table.create_unique_constraint("uq_jobs_project_id", ["project_id", "idempotency_key"])


def downgrade() -> None:
    """Refused while other projects have anything: it would become everybody's."""
    for name in ("jobs", "datasets", "models"):
        rows = sa.table(name, sa.column("project_id"))
        others = sa.select(sa.func.count()).where(rows.c.project_id != _DEFAULT_PROJECT)
        if op.get_bind().scalar(others):
            raise RuntimeError(f"the table {name} has rows of other projects than the default one")
        with op.batch_alter_table(name) as table:
            if name == "jobs":
                table.drop_constraint("uq_jobs_project_id", type_="unique")
                table.create_unique_constraint("uq_jobs_idempotency_key", ["idempotency_key"])
            table.drop_index(f"ix_{name}_project_id")
            table.drop_constraint(f"fk_{name}_project_id_projects", type_="foreignkey")
            table.drop_column("project_id")
