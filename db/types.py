"""Column types that both databases agree on, and the words that columns hold."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, LargeBinary, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

Id = String(36)
Bytes = LargeBinary
Json = JSON().with_variant(JSONB(), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC.

    SQLite keeps it as text of fixed width (`2026-01-31T12:00:00.000000Z`), so that it sorts, and
    so that it can be shown as it is stored.
    """

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs a time zone")
        value = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return f"{value.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class Role(StrEnum):
    """What a user may do: an administrator everything, a viewer only look."""

    ADMIN = "admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What an operation asks of its caller."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    ADMINISTER = "administer"


class MemberRole(StrEnum):
    """What a member may do in a project: own it, change it, or only look."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class ProjectStatus(StrEnum):
    """An archived project is read-only."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    COMPLETED = "completed"


class TaskStatus(StrEnum):
    """Where a task stands; while its run is queued it is still pending."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Lane(StrEnum):
    """Where runs wait: a higher lane is served first; waiting long lifts a run over it."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Overlap(StrEnum):
    """What a schedule does when its task is still queued or running."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class Missed(StrEnum):
    """What a schedule does about times at which nobody was there to keep it."""

    SKIP = "skip"
    RUN_ONCE = "run_once"


class RunnerName(StrEnum):
    """Who carries a run out."""

    SHELL = "shell"
    CLAUDE = "claude"


class Stream(StrEnum):
    """Which of a process's outputs a chunk came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


class SessionStatus(StrEnum):
    """Whether a user session can still be used."""

    ACTIVE = "active"
    EXPIRED = "expired"
    CLOSED = "closed"


class AgentMode(StrEnum):
    """What an agent does by itself: read; edit, and ask for the rest; ask for all; all it likes."""

    READ_ONLY = "read_only"
    ACCEPT_EDITS = "accept_edits"
    ASK = "ask"
    BYPASS = "bypass"


class ApprovalStatus(StrEnum):
    """Where a permission request stands; withdrawn is what the agent does not need any more."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class InputKind(StrEnum):
    """What people do to an agent that runs: say something, or stop its turn."""

    MESSAGE = "message"
    INTERRUPT = "interrupt"


class NotificationLevel(StrEnum):
    """How much a notification matters."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


class DeliveryStatus(StrEnum):
    """Where a delivery stands; a pending one is being sent, or will be."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DependencyType(StrEnum):
    """How a task depends on another: `blocks` keeps it from running until the other completes."""

    BLOCKS = "blocks"
    RELATES = "relates"
