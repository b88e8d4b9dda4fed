"""Every table, on one page. Relations live in the graph; rules in the files beside this one."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from db.types import (
    AgentMode,
    ApprovalStatus,
    Bytes,
    DeliveryStatus,
    DependencyType,
    Id,
    InputKind,
    Json,
    Lane,
    MemberRole,
    Missed,
    NotificationLevel,
    Overlap,
    ProjectStatus,
    Role,
    RunnerName,
    RunStatus,
    SessionStatus,
    Stream,
    TaskStatus,
    UtcDateTime,
)
from db.words import Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigSerial = BigInteger().with_variant(Integer(), "sqlite")


def _word(name: str, words: type[StrEnum]) -> tuple[Column[Any], CheckConstraint]:
    allowed = ", ".join(f"'{word}'" for word in words)
    return (
        Column(name, String(16), nullable=False),
        CheckConstraint(f"{name} IN ({allowed})", name=name),
    )


def _refers(name: str, target: str, *, required: bool = False) -> Column[Any]:
    return Column(name, Id, ForeignKey(target), nullable=not required)


def _partial(name: str, condition: str, *columns: str, unique: bool = False) -> Index:
    where = text(condition)
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _at(name: str, *, required: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=not required)


users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("username", String(64), nullable=False, unique=True),
    Column("email", String(254), unique=True),
    Column("full_name", String(200)),
    Column("avatar_url", String(2000)),
    Column("password_hash", Text, nullable=False),
    *_word("role", Role),
    Column("is_premium", Boolean, nullable=False, server_default=false()),
    Column("token_version", Integer, nullable=False, server_default="1"),
    Column("preferences", Json, nullable=False),
    _at("created_at", required=True),
    _at("updated_at", required=True),
    _at("last_login_at"),
    _at("disabled_at"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("description", Text),
    *_word("status", ProjectStatus),
    Column("settings", Json, nullable=False),
    Column("max_tasks", Integer, nullable=False),
    Column("max_concurrent_tasks", Integer, nullable=False),
    Column("storage_limit", String(32), nullable=False),
    # What its tasks are executed with, where nothing else is said.
    Column("default_retry_attempts", Integer),
    Column("default_timeout_seconds", Integer),
    _refers("created_by", "users.id", required=True),
    _at("created_at", required=True),
    _at("updated_at", required=True),
    _at("deleted_at"),
    Index(None, "created_at", "id"),
)

members = Table(
    "project_members",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    *_word("role", MemberRole),
    _at("created_at", required=True),
    Index(None, "user_id", "project_id"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Id, primary_key=True),
    _refers("project_id", "projects.id", required=True),
    Column("title", String(500), nullable=False),
    Column("description", Text),
    *_word("status", TaskStatus),
    Column("priority", Integer, nullable=False),
    Column("progress_percentage", Integer, nullable=False),
    Column("estimated_seconds", Integer),
    _refers("assigned_to", "users.id"),
    _refers("created_by", "users.id", required=True),
    Column("tags", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    # As long as it is to start by itself, once all that it waits for has completed.
    Column("auto_start", Boolean, nullable=False, server_default=false()),
    _at("created_at", required=True),
    _at("updated_at", required=True),
    _at("started_at"),
    _at("completed_at"),
    _at("deleted_at"),
    CheckConstraint("progress_percentage BETWEEN 0 AND 100", name="progress"),
    _partial("ix_tasks_auto_start", "auto_start", "id"),
    Index(None, "created_at", "id"),
    Index(None, "priority", "id"),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "project_id", "status"),
    Index(None, "status", "created_at", "id"),
    Index(None, "assigned_to", "created_at", "id"),
    Index(None, "created_by", "created_at", "id"),
)

task_tags = Table(
    "task_tags",
    metadata,
    Column("tag", String(100), primary_key=True),
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Index(None, "task_id"),
)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    Column("id", Id, primary_key=True),
    _refers("task_id", "tasks.id", required=True),
    _refers("depends_on_task_id", "tasks.id", required=True),
    *_word("dependency_type", DependencyType),
    _at("created_at", required=True),
    UniqueConstraint("task_id", "depends_on_task_id"),
    CheckConstraint("task_id <> depends_on_task_id", name="not_itself"),
    Index(None, "depends_on_task_id"),
)

# What can be searched of tasks and projects, by their ids. The index over it is made by the
# migration: GIN on PostgreSQL; on SQLite the table `search`, which triggers keep.
documents = Table(
    "documents",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("words", Words, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    # Numbers are given before the commit: what is settled is told by the transaction's number.
    Column("tx", BigInteger, nullable=False, server_default="0"),
    Column("id", Id, nullable=False),
    Column("kind", String(64), nullable=False),
    _at("at", required=True),
    Column("actor_id", Id),
    Column("project_id", Id),
    Column("task_id", Id),
    Column("run_id", Id),
    Column("session_id", Id),
    Column("data", Json, nullable=False),
    Index(None, "task_id", "seq"),
    Index(None, "project_id", "tx", "seq"),
    Index(None, "tx", "seq"),
    _partial("ix_events_session", "session_id IS NOT NULL", "session_id", "seq"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    _refers("task_id", "tasks.id"),
    _refers("project_id", "projects.id"),
    _refers("user_id", "users.id", required=True),
    # What limits and fairness count by: the project, else the user.
    Column("bucket", Id, nullable=False),
    *_word("runner", RunnerName),
    Column("command", Text),
    Column("working_directory", Text),
    Column("environment", Json, nullable=False),
    Column("options", Json, nullable=False),
    Column("timeout_seconds", Integer),
    *_word("lane", Lane),
    Column("priority", Integer, nullable=False),
    Column("rank", BigInteger, nullable=False),
    *_word("status", RunStatus),
    Column("number", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("worker_id", Id),
    _at("lease_until"),
    Column("boot_id", String(36)),
    Column("pid", Integer),
    Column("pid_started", BigInteger),
    _at("enqueued_at", required=True),
    _at("due_at", required=True),
    _at("claimed_at"),
    _at("started_at"),
    _at("finished_at"),
    _at("cancel_asked_at"),
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
    _at("inbox_closed_at"),
    CheckConstraint(
        "(status IN ('queued', 'running')) = (finished_at IS NULL)", name="finished_iff_final"
    ),
    _partial("ix_runs_ready", "status = 'queued'", "bucket", "lane", "rank", "id"),
    _partial("ix_runs_position", "status = 'queued'", "lane", "rank", "id"),
    _partial("ix_runs_running", "status = 'running'", "bucket"),
    _partial("ix_runs_lease", "status = 'running'", "lease_until"),
    _partial("uq_runs_one_active", "status IN ('queued', 'running')", "task_id", unique=True),
    Index(None, "task_id", "enqueued_at", "id"),
    Index(None, "project_id", "enqueued_at", "id"),
    Index(None, "user_id", "enqueued_at", "id"),
    _partial("ix_runs_finished", "finished_at IS NOT NULL", "finished_at"),
    _partial("ix_runs_commands", "task_id IS NULL", "enqueued_at", "id"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    *_word("stream", Stream),
    # Bytes, not text: nothing that a process prints is lost, whatever its encoding.
    Column("content", Bytes, nullable=False),
    _at("at", required=True),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Id, primary_key=True),
    _refers("project_id", "projects.id", required=True),
    _refers("task_id", "tasks.id", required=True),
    _refers("created_by", "users.id", required=True),
    Column("cron", String(100), nullable=False),
    Column("time_zone", String(64), nullable=False),
    *_word("overlap", Overlap),
    *_word("missed", Missed),
    *_word("lane", Lane),
    Column("options", Json, nullable=False),
    _at("created_at", required=True),
    _at("updated_at", required=True),
    _at("paused_at"),
    _at("next_at"),
    # Since when an execution is due that waits for the last one to end.
    _at("owed_at"),
    _at("last_at"),
    Index(None, "task_id"),
    Index(None, "project_id", "created_at", "id"),
    _partial("ix_schedules_due", "paused_at IS NULL", "next_at"),
    _partial("ix_schedules_owed", "owed_at IS NOT NULL", "owed_at"),
)

lanes = Table(
    "lanes",
    metadata,
    Column("name", String(16), primary_key=True),
    _at("paused_at"),
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
    _at("started_at", required=True),
    _at("seen_at", required=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    _refers("project_id", "projects.id"),
    _refers("user_id", "users.id", required=True),
    *_word("status", SessionStatus),
    Column("settings", Json, nullable=False),
    _at("created_at", required=True),
    _at("last_accessed_at", required=True),
    _at("expires_at", required=True),
    _at("deleted_at"),
    Index(None, "user_id", "created_at", "id"),
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", Id, primary_key=True),
    # Whom it is for; null for everyone.
    _refers("user_id", "users.id"),
    *_word("level", NotificationLevel),
    Column("title", String(200), nullable=False),
    Column("message", Text, nullable=False),
    Column("actions", Json, nullable=False),
    _refers("created_by", "users.id", required=True),
    _at("created_at", required=True),
    _at("expires_at", required=True),
    Index(None, "expires_at"),
)

notification_receipts = Table(
    "notification_receipts",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("notification_id", Id, ForeignKey("notifications.id"), primary_key=True),
    _at("acknowledged_at", required=True),
)

# One row that is always there.
maintenance = Table(
    "maintenance",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _at("since_at"),
    Column("message", Text),
    _at("until_at"),
    _refers("started_by", "users.id"),
    CheckConstraint("id = 1", name="one_row"),
)

# What an agent told of a run, in its order.
agent_events = Table(
    "agent_events",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("data", Json, nullable=False),
    _at("at", required=True),
)

# What people say to an agent while it runs.
agent_inputs = Table(
    "agent_inputs",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    *_word("kind", InputKind),
    Column("text", Text),
    _refers("user_id", "users.id", required=True),
    _at("at", required=True),
    _at("taken_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Id, primary_key=True),
    _refers("run_id", "runs.id", required=True),
    _refers("task_id", "tasks.id"),
    _refers("project_id", "projects.id"),
    Column("tool", String(200), nullable=False),
    Column("input", Json, nullable=False),
    Column("description", Text),
    # The same call of the same run, however often the agent asks.
    Column("fingerprint", String(64), nullable=False),
    # The agent's own name for the latest time it asked.
    Column("request_id", String(64), nullable=False),
    *_word("status", ApprovalStatus),
    _at("asked_at", required=True),
    _at("expires_at", required=True),
    _at("answered_at"),
    _refers("answered_by", "users.id"),
    Column("reason", Text),
    _at("delivered_at"),
    Index(None, "run_id", "asked_at", "id"),
    Index(None, "project_id", "asked_at", "id"),
    Index(None, "asked_at", "id"),
    _partial("ix_approvals_pending", "status = 'pending'", "expires_at"),
)

agent_policies = Table(
    "agent_policies",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id"), primary_key=True),
    # Null is as the server is set.
    Column("mode", String(16)),
    Column("allowed_tools", Json, nullable=False),
    Column("denied_tools", Json, nullable=False),
    Column("model", String(100)),
    Column("micros_per_run", BigInteger),
    Column("micros_per_day", BigInteger),
    Column("micros_per_month", BigInteger),
    _at("updated_at", required=True),
    _refers("updated_by", "users.id", required=True),
    CheckConstraint(f"mode IN {tuple(map(str, AgentMode))}", name="mode"),
)

# What agents have cost. It outlives the runs, so that no budget is renewed by deleting one.
spendings = Table(
    "spendings",
    metadata,
    Column("id", Id, primary_key=True),
    Column("run_id", Id, nullable=False),
    Column("task_id", Id),
    Column("project_id", Id),
    Column("user_id", Id, nullable=False),
    Column("model", String(100), nullable=False),
    _at("at", required=True),
    Column("turns", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Index(None, "run_id"),
    Index(None, "task_id"),
    Index(None, "project_id", "at"),
    Index(None, "user_id", "at"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Id, primary_key=True),
    # Null for the whole system.
    _refers("project_id", "projects.id"),
    Column("url", String(2000), nullable=False),
    Column("secret", String(200), nullable=False),
    Column("events", Json, nullable=False),
    Column("description", Text),
    _refers("created_by", "users.id", required=True),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),
    # The last event that it has been told of, or that was not for it.
    Column("cursor_tx", BigInteger, nullable=False),
    Column("cursor_seq", BigInteger, nullable=False),
    # Attempts that failed since the last one that did not.
    Column("failures", Integer, nullable=False, server_default="0"),
    _at("failing_since"),
    _at("created_at", required=True),
    _at("updated_at", required=True),
    _at("deleted_at"),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "created_at", "id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    _refers("webhook_id", "webhooks.id", required=True),
    Column("event_id", Id, nullable=False),
    Column("event", String(64), nullable=False),
    # As it is sent, however often: what is signed are these bytes.
    Column("body", Bytes, nullable=False),
    *_word("status", DeliveryStatus),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # While somebody sends it, when another may take it.
    _at("next_attempt_at"),
    Column("response_status", Integer),
    Column("error", Text),
    _at("created_at", required=True),
    _at("delivered_at"),
    UniqueConstraint("webhook_id", "event_id"),
    CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="due_iff_pending"),
    Index(None, "webhook_id", "created_at", "id"),
    Index(None, "created_at", "id"),
    _partial("ix_deliveries_due", "status = 'pending'", "webhook_id", "next_attempt_at"),
)
