"""What agents tell, ask, may do, and cost."""

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
from db.types import AgentMode, ApprovalStatus, Id, InputKind, Json

# What an agent told of a run, in its order.
agent_events = Table(
    "agent_events",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("data", Json, nullable=False),
    at("at", required=True),
)

# What people say to an agent while it runs.
agent_inputs = Table(
    "agent_inputs",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    *word("kind", InputKind),
    Column("text", Text),
    refers("user_id", "users.id", required=True),
    at("at", required=True),
    at("taken_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Id, primary_key=True),
    refers("run_id", "runs.id", required=True),
    refers("task_id", "tasks.id"),
    refers("project_id", "projects.id"),
    Column("tool", String(200), nullable=False),
    Column("input", Json, nullable=False),
    Column("description", Text),
    # The same call of the same run, however often the agent asks.
    Column("fingerprint", String(64), nullable=False),
    # The agent's own name for the latest time it asked.
    Column("request_id", String(64), nullable=False),
    *word("status", ApprovalStatus),
    at("asked_at", required=True),
    at("expires_at", required=True),
    at("answered_at"),
    refers("answered_by", "users.id"),
    Column("reason", Text),
    at("delivered_at"),
    Index(None, "run_id", "asked_at", "id"),
    Index(None, "project_id", "asked_at", "id"),
    Index(None, "asked_at", "id"),
    partial_index("ix_approvals_pending", "status = 'pending'", "expires_at"),
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
    at("updated_at", required=True),
    refers("updated_by", "users.id", required=True),
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
    at("at", required=True),
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
