"""What is carried out, when, and by whom."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from db.tables.columns import at, metadata, partial_index, refers, word
from db.types import Bytes, Id, Json, Lane, Missed, Overlap, RunnerName, RunStatus, Stream

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    refers("task_id", "tasks.id"),
    refers("project_id", "projects.id"),
    refers("user_id", "users.id", required=True),
    # What limits and fairness count by: the project, else the user.
    Column("bucket", Id, nullable=False),
    *word("runner", RunnerName),
    Column("command", Text),
    Column("working_directory", Text),
    Column("environment", Json, nullable=False),
    Column("options", Json, nullable=False),
    Column("timeout_seconds", Integer),
    *word("lane", Lane),
    Column("priority", Integer, nullable=False),
    Column("rank", BigInteger, nullable=False),
    *word("status", RunStatus),
    Column("number", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("worker_id", Id),
    Column("boot_id", String(36)),
    Column("pid", Integer),
    Column("pid_started", BigInteger),
    at("enqueued_at", required=True),
    at("due_at", required=True),
    at("claimed_at"),
    at("started_at"),
    at("finished_at"),
    at("cancel_asked_at"),
    Column("cancel_reason", Text),
    Column("exit_code", Integer),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("last_seq", Integer, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    # Of these, how many are not kept: those in the middle of too much, or all after a while.
    Column("omitted_bytes", BigInteger, nullable=False, server_default="0"),
    Column("sha256", String(64)),
    # The agent's own name for its conversation: ours to resume it by, never our key.
    Column("agent_session_id", String(64)),
    Column("agent_model", String(100)),
    Column("agent_event_seq", Integer, nullable=False, server_default="0"),
    # What the run may spend at most, once it has been granted that.
    Column("granted_micros", BigInteger),
    at("inbox_closed_at"),
    CheckConstraint(
        "(status IN ('queued', 'running')) = (finished_at IS NULL)", name="finished_iff_final"
    ),
    Index(None, "task_id", "enqueued_at", "id"),
    Index(None, "project_id", "enqueued_at", "id"),
    Index(None, "user_id", "enqueued_at", "id"),
    # Of the kind that PostgreSQL need not write to when a row changes in place.
    Index(None, "finished_at", postgresql_using="brin"),
    partial_index("ix_runs_commands", "task_id IS NULL", "enqueued_at", "id"),
)

# What queued runs are claimed by; there is a row as long as the run is queued. Apart from the
# runs, so that these can change without a change of any index; without a foreign key, since
# nothing is written more often.
waiting = Table(
    "waiting",
    metadata,
    Column("run_id", Id, primary_key=True),
    Column("task_id", Id),
    Column("bucket", Id, nullable=False),
    Column("lane", String(16), nullable=False),
    Column("rank", BigInteger, nullable=False),
    at("due_at", required=True),
    Index("ix_waiting_ready", "bucket", "lane", "rank", "run_id"),
    Index("ix_waiting_position", "lane", "rank", "run_id"),
)

# Who holds a running run, and until when; there is a row as long as it is running.
leases = Table(
    "leases",
    metadata,
    Column("run_id", Id, primary_key=True),
    Column("bucket", Id, nullable=False),
    Column("lane", String(16), nullable=False),
    Column("worker_id", Id, nullable=False),
    at("until", required=True),
)

chunks = Table(
    "chunks",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    *word("stream", Stream),
    # Bytes, not text: nothing that a process prints is lost, whatever its encoding.
    Column("content", Bytes, nullable=False),
    at("at", required=True),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Id, primary_key=True),
    refers("project_id", "projects.id", required=True),
    refers("task_id", "tasks.id", required=True),
    refers("created_by", "users.id", required=True),
    Column("cron", String(100), nullable=False),
    Column("time_zone", String(64), nullable=False),
    *word("overlap", Overlap),
    *word("missed", Missed),
    *word("lane", Lane),
    Column("options", Json, nullable=False),
    at("created_at", required=True),
    at("updated_at", required=True),
    at("paused_at"),
    at("next_at"),
    # Since when an execution is due that waits for the last one to end.
    at("owed_at"),
    at("last_at"),
    Index(None, "task_id"),
    Index(None, "project_id", "created_at", "id"),
    partial_index("ix_schedules_due", "paused_at IS NULL", "next_at"),
    partial_index("ix_schedules_owed", "owed_at IS NOT NULL", "owed_at"),
)

lanes = Table(
    "lanes",
    metadata,
    Column("name", String(16), primary_key=True),
    at("paused_at"),
    Column("paused_reason", Text),
    Column("paused_by", Id),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("host", String(255), nullable=False),
    Column("boot_id", String(36), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", BigInteger, nullable=False),
    Column("concurrency", Integer, nullable=False),
    at("started_at", required=True),
    at("seen_at", required=True),
)

# One row that is always there.
maintenance = Table(
    "maintenance",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    at("since_at"),
    Column("message", Text),
    at("until_at"),
    refers("started_by", "users.id"),
    CheckConstraint("id = 1", name="one_row"),
)
