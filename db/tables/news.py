"""What happened, and who is told of it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from db.tables.columns import BigSerial, at, metadata, partial_index, refers, word
from db.types import Bytes, DeliveryStatus, Id, Json, NotificationLevel

events = Table(
    "events",
    metadata,
    Column("seq", BigSerial, primary_key=True, autoincrement=True),
    # Numbers are given before the commit: what is settled is told by the transaction's number.
    Column("tx", BigInteger, nullable=False, server_default="0"),
    Column("id", Id, nullable=False),
    Column("kind", String(64), nullable=False),
    at("at", required=True),
    Column("actor_id", Id),
    Column("project_id", Id),
    Column("task_id", Id),
    Column("run_id", Id),
    Column("session_id", Id),
    Column("data", Json, nullable=False),
    Index(None, "task_id", "seq"),
    Index(None, "project_id", "tx", "seq"),
    Index(None, "tx", "seq"),
    partial_index("ix_events_session", "session_id IS NOT NULL", "session_id", "seq"),
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", Id, primary_key=True),
    # Whom it is for; null for everyone.
    refers("user_id", "users.id"),
    *word("level", NotificationLevel),
    Column("title", String(200), nullable=False),
    Column("message", Text, nullable=False),
    Column("actions", Json, nullable=False),
    refers("created_by", "users.id", required=True),
    at("created_at", required=True),
    at("expires_at", required=True),
    Index(None, "expires_at"),
)

notification_receipts = Table(
    "notification_receipts",
    metadata,
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    Column("notification_id", Id, ForeignKey("notifications.id"), primary_key=True),
    at("acknowledged_at", required=True),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Id, primary_key=True),
    # Null for the whole system.
    refers("project_id", "projects.id"),
    Column("url", String(2000), nullable=False),
    Column("secret", String(200), nullable=False),
    Column("events", Json, nullable=False),
    Column("description", Text),
    refers("created_by", "users.id", required=True),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),
    # The last event that it has been told of, or that was not for it.
    Column("cursor_tx", BigInteger, nullable=False),
    Column("cursor_seq", BigInteger, nullable=False),
    # Attempts that failed since the last one that did not.
    Column("failures", Integer, nullable=False, server_default="0"),
    at("failing_since"),
    at("created_at", required=True),
    at("updated_at", required=True),
    at("deleted_at"),
    Index(None, "project_id", "created_at", "id"),
    Index(None, "created_at", "id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    refers("webhook_id", "webhooks.id", required=True),
    Column("event_id", Id, nullable=False),
    Column("event", String(64), nullable=False),
    # As it is sent, however often: what is signed are these bytes.
    Column("body", Bytes, nullable=False),
    *word("status", DeliveryStatus),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # While somebody sends it, when another may take it.
    at("next_attempt_at"),
    Column("response_status", Integer),
    Column("error", Text),
    at("created_at", required=True),
    at("delivered_at"),
    UniqueConstraint("webhook_id", "event_id"),
    CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="due_iff_pending"),
    Index(None, "webhook_id", "created_at", "id"),
    Index(None, "created_at", "id"),
    partial_index("ix_deliveries_due", "status = 'pending'", "webhook_id", "next_attempt_at"),
)
