"""What the queue goes by in tables of its own, so that no index holds how a run stands."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACTIVE = "status IN ('queued', 'running')"
STATUS_INDEXES = (
    ("ix_runs_ready", "status = 'queued'", ["bucket", "lane", "rank", "id"], False),
    ("ix_runs_position", "status = 'queued'", ["lane", "rank", "id"], False),
    ("ix_runs_running", "status = 'running'", ["bucket"], False),
    ("uq_runs_one_active", ACTIVE, ["task_id"], True),
    ("ix_runs_finished", "finished_at IS NOT NULL", ["finished_at"], False),
)


def upgrade() -> None:
    op.create_table(
        "waiting",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("task_id", sa.String(36)),
        sa.Column("bucket", sa.String(36), nullable=False),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_waiting")),
    )
    op.create_table(
        "leases",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("bucket", sa.String(36), nullable=False),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("worker_id", sa.String(36), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_leases")),
    )
    op.add_column("tasks", sa.Column("active_run_id", sa.String(36)))
    op.execute(
        "INSERT INTO waiting (run_id, task_id, bucket, lane, rank, due_at)"
        " SELECT id, task_id, bucket, lane, rank, due_at FROM runs WHERE status = 'queued'"
    )
    op.execute(
        "INSERT INTO leases (run_id, bucket, lane, worker_id, until)"
        " SELECT id, bucket, lane, COALESCE(worker_id, ''), COALESCE(lease_until, enqueued_at)"
        " FROM runs WHERE status = 'running'"
    )
    op.execute(
        "UPDATE tasks SET active_run_id ="  # noqa: S608
        f" (SELECT id FROM runs WHERE task_id = tasks.id AND {ACTIVE})"
        f" WHERE id IN (SELECT task_id FROM runs WHERE task_id IS NOT NULL AND {ACTIVE})"
    )
    op.create_index("ix_waiting_ready", "waiting", ["bucket", "lane", "rank", "run_id"])
    op.create_index("ix_waiting_position", "waiting", ["lane", "rank", "run_id"])
    for name, *_ in STATUS_INDEXES:
        op.drop_index(name, table_name="runs")
    op.create_index(op.f("ix_runs_finished_at"), "runs", ["finished_at"], postgresql_using="brin")
    op.drop_column("runs", "lease_until")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE runs SET (fillfactor = 50)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE runs SET (fillfactor = 70)")
    op.add_column("runs", sa.Column("lease_until", UtcDateTime()))
    op.execute(
        "UPDATE runs SET lease_until = (SELECT until FROM leases WHERE run_id = runs.id)"
        " WHERE status = 'running'"
    )
    op.drop_index(op.f("ix_runs_finished_at"), table_name="runs")
    for name, condition, columns, unique in STATUS_INDEXES:
        where = sa.text(condition)
        op.create_index(
            name, "runs", columns, unique=unique, sqlite_where=where, postgresql_where=where
        )
    op.drop_column("tasks", "active_run_id")
    op.drop_table("leases")
    op.drop_table("waiting")
