"""What is worked on: projects and their tasks."""

from sqlalchemy import (
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
    false,
)

from db.tables.columns import BigSerial, at, metadata, partial_index, refers, word
from db.types import DependencyType, Id, Json, MemberRole, ProjectStatus, TaskStatus
from db.words import Words

projects = Table(
    "projects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("description", Text),
    *word("status", ProjectStatus),
    Column("settings", Json, nullable=False),
    Column("max_tasks", Integer, nullable=False),
    Column("max_concurrent_tasks", Integer, nullable=False),
    Column("storage_limit", String(32), nullable=False),
    # What its tasks are executed with, where nothing else is said.
    Column("default_retry_attempts", Integer),
    Column("default_timeout_seconds", Integer),
    refers("created_by", "users.id", required=True),
    at("created_at", required=True),
    at("updated_at", required=True),
    at("deleted_at"),
    Index(None, "created_at", "id"),
)

members = Table(
    "project_members",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), primary_key=True),
    *word("role", MemberRole),
    at("created_at", required=True),
    Index(None, "user_id", "project_id"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Id, primary_key=True),
    refers("project_id", "projects.id", required=True),
    Column("title", String(500), nullable=False),
    Column("description", Text),
    *word("status", TaskStatus),
    Column("priority", Integer, nullable=False),
    Column("progress_percentage", Integer, nullable=False),
    Column("estimated_seconds", Integer),
    refers("assigned_to", "users.id"),
    refers("created_by", "users.id", required=True),
    Column("tags", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    # As long as it is to start by itself, once all that it waits for has completed.
    Column("auto_start", Boolean, nullable=False, server_default=false()),
    at("created_at", required=True),
    at("updated_at", required=True),
    at("started_at"),
    at("completed_at"),
    at("deleted_at"),
    # Its one run that is queued or running: who sets it, enqueues.
    Column("active_run_id", Id),
    CheckConstraint("progress_percentage BETWEEN 0 AND 100", name="progress"),
    partial_index("ix_tasks_auto_start", "auto_start", "id"),
    Index(None, "created_at", "id"),
    Index(None, "priority", "id"),
    Index(None, "project_id", "created_at", "id"),
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
    refers("task_id", "tasks.id", required=True),
    refers("depends_on_task_id", "tasks.id", required=True),
    *word("dependency_type", DependencyType),
    at("created_at", required=True),
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
