"""The nouns of the graph, on one page: they refer to each other."""

import base64
from datetime import UTC, datetime

import strawberry
from sqlalchemy import case, select

from db import events as log
from db import output, projects, spending
from db import sessions as session_rules
from db.listing import one_of
from db.runs import is_newest, places_ahead
from db.tables import agent_policies as policies
from db.tables import chunks, events, members, runs, sessions, task_dependencies, tasks
from db.tables import projects as projects_table
from db.types import (
    DependencyType,
    Lane,
    MemberRole,
    NotificationLevel,
    ProjectStatus,
    RunnerName,
    RunStatus,
    SessionStatus,
    Stream,
    TaskStatus,
)
from graph.agent_nouns import UNSET_POLICY, AgentPolicy, RunUsage, Usage
from graph.nouns import NOUNS, column, computed, noun, part, single, to_many, to_one
from graph.people import User
from graph.scalars import BigInt, DateTime, Duration, Json

NAMES = {RunnerName: "Runner", Stream: "OutputStream"}
for word in (
    ProjectStatus, TaskStatus, RunStatus, Lane, SessionStatus, DependencyType, NotificationLevel,
    MemberRole, *NAMES,
):  # fmt: skip
    strawberry.enum(word, name=NAMES.get(word), description=word.__doc__)


@noun(None)
class ProjectStatistics:
    """How many tasks a project holds, and how they go."""

    total_tasks: int = column(None, "All tasks that are not deleted.")
    completed_tasks: int = column(None, "Completed ones.")
    pending_tasks: int = column(None, "Pending ones, queued or not.")
    running_tasks: int = column(None, "Running ones.")
    failed_tasks: int = column(None, "Failed ones.")
    cancelled_tasks: int = column(None, "Cancelled ones.")
    completion_rate: float = column(None, "Completed of all, from 0 to 1.")
    average_task_duration: Duration | None = column(None, "The mean of the completed ones.")


@noun(projects_table)
class ResourceLimits:
    """What a project may take."""

    max_tasks: int = column(projects_table.c.max_tasks, "How many tasks it may hold.")
    max_concurrent_tasks: int = column(
        projects_table.c.max_concurrent_tasks, "How many of its runs may run at once."
    )
    storage_limit: str = column(projects_table.c.storage_limit, "For information: `1GB`.")


@noun(projects_table)
class ExecutionDefaults:
    """What tasks are executed with, where their options say nothing else."""

    retry_attempts: int | None = column(
        projects_table.c.default_retry_attempts, "How often a failed one is tried again."
    )
    timeout: int | None = column(
        projects_table.c.default_timeout_seconds, "Seconds after which it has failed."
    )


@noun(None)
class Activity:
    """Something that happened in a project lately."""

    timestamp: DateTime = column(None, "When.")
    action: str = column(None, "What: `task_completed`.")
    task_title: str | None = column(None, "The task's title at that time.")
    user_name: str | None = column(None, "Who did it; null for the system.")


@noun(members)
class ProjectMember:
    """Someone who works in a project, and what they may do there."""

    user_id: strawberry.ID = column(members.c.user_id, "The id of the user.")
    user: User = to_one("User", "user_id", "The user.")
    role: MemberRole = column(members.c.role, "Owners manage members; viewers only look.")
    since: DateTime = column(members.c.created_at, "When they came into the project.")


@noun(projects_table)
class Project:
    """Holds tasks; has members, settings and limits. Archived, it is read-only."""

    id: strawberry.ID = column(projects_table.c.id, "UUIDv7.")
    name: str = column(projects_table.c.name, "At most 200 characters.")
    description: str | None = column(projects_table.c.description, "What it is about.")
    status: ProjectStatus = column(projects_table.c.status, "Active, archived or completed.")
    created_by: strawberry.ID = column(projects_table.c.created_by, "The id of its creator.")
    creator: User = to_one("User", "created_by", "Who created it.")
    created_at: DateTime = column(projects_table.c.created_at, "When it was created.")
    updated_at: DateTime = column(projects_table.c.updated_at, "When it last changed.")
    settings: Json = column(projects_table.c.settings, "Free-form settings.")
    resource_limits: ResourceLimits = part("ResourceLimits", "What it may take.")
    execution_defaults: ExecutionDefaults = part(
        "ExecutionDefaults", "What its tasks are executed with."
    )
    statistics: ProjectStatistics = single(
        "ProjectStatistics",
        projects.statistics,
        "project_id",
        "Its tasks, counted.",
        absent=projects.NO_STATISTICS,
    )
    recent_activity: list[Activity] = to_many(
        "Activity", projects.recent_activity, "project_id", "The ten latest events, newest first."
    )
    usage: Usage = single(
        "Usage", spending.of_projects, "project_id", "What agents took.", absent=spending.NOTHING
    )
    agent_policy: AgentPolicy = single(
        "AgentPolicy",
        lambda ids: NOUNS["AgentPolicy"].select().where(one_of(policies.c.project_id, ids)),
        "project_id",
        "What agents may do in it by themselves, and what they may cost.",
        absent=UNSET_POLICY,
    )
    members: list[ProjectMember] = to_many(
        "ProjectMember",
        lambda ids: (
            NOUNS["ProjectMember"]
            .select()
            .where(one_of(members.c.project_id, ids))
            .order_by(members.c.created_at, members.c.user_id)
        ),
        "project_id",
        "Who works in it.",
    )


@noun(events)
class TaskEvent:
    """Something that happened to a task. The log of these is its history."""

    id: strawberry.ID = column(events.c.id, "UUIDv7.")
    timestamp: DateTime = column(events.c.at, "When.")
    kind: str = column(events.c.kind, "What, in the words of webhooks: `task.completed`.")
    action: str = computed(
        log.action_of,
        ("kind", "data"),
        "What, in a word: `created`, `updated`, `status_changed`, `queued`, `deleted`.",
    )
    old_value: Json | None = computed(
        lambda data: data["details"].get("old_value"), ("data",), "What it was before."
    )
    new_value: Json | None = computed(
        lambda data: data["details"].get("new_value"), ("data",), "What it is since."
    )
    user_id: strawberry.ID | None = column(events.c.actor_id, "Who did it; null for the system.")
    user_name: str | None = column(log.actor_name(events.c.actor_id), "The name of who did it.")
    user: User | None = to_one("User", "actor_id", "Who did it.")
    run_id: strawberry.ID | None = column(events.c.run_id, "The run in which it happened.")
    details: Json = computed(lambda data: data["details"], ("data",), "All that is known.")


@noun(task_dependencies)
class TaskDependency:
    """That a task depends on another."""

    id: strawberry.ID = column(task_dependencies.c.id, "UUIDv7.")
    depends_on_task_id: strawberry.ID = column(
        task_dependencies.c.depends_on_task_id, "The id of the other task."
    )
    dependency_type: DependencyType = column(
        task_dependencies.c.dependency_type, "How it depends on it."
    )
    task: "Task" = to_one("Task", "depends_on_task_id", "The other task.")


@noun(chunks)
class OutputChunk:
    """A numbered piece of what a run printed."""

    seq: int = column(chunks.c.seq, "Counts from 1, over both streams: also the cursor.")
    stream: Stream = column(chunks.c.stream, "Which output it was printed on.")
    content: str = computed(
        lambda content: content.decode(errors="replace"),
        ("content",),
        "The text; what is not UTF-8 is shown as U+FFFD.",
    )
    content_base64: str = computed(
        lambda content: base64.b64encode(content).decode(), ("content",), "The bytes as printed."
    )
    timestamp: DateTime = column(chunks.c.at, "When it was read.")


@noun(runs)
class Run:
    """One process that we start: an execution of a task, or a command of its own."""

    id: strawberry.ID = column(runs.c.id, "UUIDv7; also called execution id and command id.")
    task_id: strawberry.ID | None = column(runs.c.task_id, "The task that it executes.")
    task: "Task | None" = to_one("Task", "task_id", "The task that it executes.")
    project_id: strawberry.ID | None = column(runs.c.project_id, "Its project.")
    project: Project | None = to_one("Project", "project_id", "Its project.")
    user_id: strawberry.ID = column(runs.c.user_id, "Who started it.")
    user: User = to_one("User", "user_id", "Who started it.")
    runner: RunnerName = column(runs.c.runner, "Who carries it out.")
    command: str | None = column(runs.c.command, "What the shell runner runs.")
    working_directory: str | None = column(runs.c.working_directory, "Where, below the workspace.")
    status: RunStatus = column(runs.c.status, "Where it stands.")
    lane: Lane = column(runs.c.lane, "Where it waits: a higher lane is served first.")
    number: int = column(runs.c.number, "1 for the first execution of the task, 2 for the next.")
    attempt: int = column(runs.c.attempt, "How often it was tried; a failed one may be again.")
    max_attempts: int = column(runs.c.max_attempts, "How often it is tried at most.")
    timeout: int | None = column(runs.c.timeout_seconds, "After how many seconds it is stopped.")
    queue_position: int | None = column(
        case((runs.c.status == RunStatus.QUEUED, 1 + places_ahead())),
        "1 for the next of its lane; null once it runs.",
    )
    enqueued_at: DateTime = column(runs.c.enqueued_at, "When it was put into its lane.")
    started_at: DateTime | None = column(runs.c.started_at, "When its process began.")
    finished_at: DateTime | None = column(runs.c.finished_at, "When it came to its final state.")
    cancel_asked_at: DateTime | None = column(
        runs.c.cancel_asked_at, "When it was asked to be cancelled."
    )
    cancel_reason: str | None = column(runs.c.cancel_reason, "Why.")
    duration_seconds: float | None = computed(
        lambda started_at, finished_at: _seconds(started_at, finished_at),
        ("started_at", "finished_at"),
        "How long it ran, or has been running.",
    )
    pid: int | None = column(runs.c.pid, "The process id on the worker's machine.")
    exit_code: int | None = column(
        runs.c.exit_code, "0 for success; -n when signal n ended it; 127 for no such command."
    )
    error_code: str | None = column(runs.c.error_code, "Why it failed: a documented error code.")
    error_message: str | None = column(runs.c.error_message, "Why it failed, in words.")
    last_seq: int = column(runs.c.last_seq, "The number of the last chunk of its output.")
    total_bytes: BigInt = column(runs.c.total_bytes, "How many bytes it has printed.")
    omitted_bytes: BigInt = column(
        runs.c.omitted_bytes, "Of these, how many are not kept; a gap in `seq` shows where."
    )
    sha256: str | None = column(runs.c.sha256, "The hash of all it printed, once it has ended.")
    recent_output: list[OutputChunk] = to_many(
        "OutputChunk",
        lambda ids: output.recent(NOUNS["OutputChunk"].select(), ids),
        "run_id",
        "The newest part of its output, in order: at most 256 KiB.",
    )
    truncated: bool = computed(
        lambda total_bytes: total_bytes > output.RECENT_BYTES,
        ("total_bytes",),
        "Whether `recentOutput` is less than all of it.",
    )
    agent_session_id: str | None = column(
        runs.c.agent_session_id, "The agent's own name for its conversation."
    )
    usage: RunUsage = single(
        "RunUsage",
        spending.of_runs,
        "run_id",
        "What its agent took.",
        absent=spending.NOTHING_OF_A_RUN,
    )


@noun(tasks)
class Task:
    """A piece of work: a prompt for an agent, or a command, and how far it is."""

    id: strawberry.ID = column(tasks.c.id, "UUIDv7.")
    title: str = column(tasks.c.title, "At most 500 characters.")
    description: str | None = column(tasks.c.description, "What is to be done.")
    project_id: strawberry.ID = column(tasks.c.project_id, "The project that holds it.")
    project: Project = to_one("Project", "project_id", "The project that holds it.")
    status: TaskStatus = column(tasks.c.status, "Pending also while its run is queued.")
    priority: int = column(tasks.c.priority, "From 0 to 100; larger is more urgent.")
    progress_percentage: int = column(tasks.c.progress_percentage, "From 0 to 100.")
    estimated_duration: Duration | None = column(
        tasks.c.estimated_seconds, "How long it is thought to take."
    )
    actual_duration: Duration | None = computed(
        lambda started_at, completed_at: _seconds(started_at, completed_at),
        ("started_at", "completed_at"),
        "How long it took, or has been running.",
    )
    assigned_to: strawberry.ID | None = column(tasks.c.assigned_to, "The id of its assignee.")
    assignee: User | None = to_one("User", "assigned_to", "Whose task it is.")
    created_by: strawberry.ID = column(tasks.c.created_by, "The id of its creator.")
    creator: User = to_one("User", "created_by", "Who created it.")
    created_at: DateTime = column(tasks.c.created_at, "When it was created.")
    updated_at: DateTime = column(tasks.c.updated_at, "When it last changed.")
    started_at: DateTime | None = column(tasks.c.started_at, "When its process began.")
    completed_at: DateTime | None = column(
        tasks.c.completed_at, "When it came to its end: completed, failed or cancelled."
    )
    tags: list[str] = column(tasks.c.tags, "At most 50 words.")
    metadata: Json = column(
        tasks.c["metadata"], "Free-form; `command` makes it a task for the shell runner."
    )
    auto_start: bool = column(
        tasks.c.auto_start, "Whether it will start by itself once all it waits for has completed."
    )
    dependencies: list[TaskDependency] = to_many(
        "TaskDependency",
        lambda ids: (
            NOUNS["TaskDependency"]
            .select()
            .where(one_of(task_dependencies.c.task_id, ids))
            .order_by(task_dependencies.c.created_at, task_dependencies.c.id)
        ),
        "task_id",
        "The tasks that it depends on.",
    )
    history: list[TaskEvent] = to_many(
        "TaskEvent",
        lambda ids: (
            NOUNS["TaskEvent"]
            .select()
            .where(one_of(events.c.task_id, ids), log.is_of_history())
            .order_by(events.c.tx, events.c.seq)
        ),
        "task_id",
        "All that happened to it, oldest first.",
    )
    usage: Usage = single(
        "Usage", spending.of_tasks, "task_id", "What agents took.", absent=spending.NOTHING
    )
    last_run: Run | None = single(
        "Run",
        lambda ids: NOUNS["Run"].select().where(one_of(runs.c.task_id, ids), is_newest()),
        "task_id",
        "Its newest run.",
    )


@noun(None)
class SessionActivity:
    """Something that happened in a session."""

    id: strawberry.ID = column(None, "UUIDv7.")
    timestamp: DateTime = column(None, "When.")
    kind: str = column(None, "What, in the words of webhooks: `task.completed`.")
    action: str = computed(
        lambda kind: kind.replace(".", "_"), ("kind",), "What: `session_created`, `task_updated`."
    )
    user_id: strawberry.ID | None = column(None, "Who did it.")
    user_name: str | None = column(None, "The name of who did it.")
    task_id: strawberry.ID | None = column(None, "The task that it was about.")
    task_title: str | None = column(None, "The task's title at that time.")
    details: Json = computed(
        lambda data: data.get("details", data), ("data",), "All that is known."
    )


@noun(sessions)
class Session:
    """What a person works on, and how, for as long as it is used."""

    id: strawberry.ID = column(sessions.c.id, "UUIDv7.")
    project_id: strawberry.ID | None = column(sessions.c.project_id, "The project in view.")
    project: Project | None = to_one("Project", "project_id", "The project in view.")
    project_name: str | None = column(
        select(projects_table.c.name)
        .where(projects_table.c.id == sessions.c.project_id)
        .scalar_subquery(),
        "Its name.",
    )
    user_id: strawberry.ID = column(sessions.c.user_id, "Whose session it is.")
    status: SessionStatus = column(session_rules.status(), "Whether it can still be used.")
    created_at: DateTime = column(sessions.c.created_at, "When it was opened.")
    last_accessed: DateTime = column(sessions.c.last_accessed_at, "When it was last used.")
    expires_at: DateTime = column(sessions.c.expires_at, "When it ends unless it is used.")
    settings: Json = column(sessions.c.settings, "Free-form settings.")
    history: list[SessionActivity] = to_many(
        "SessionActivity",
        session_rules.activity,
        "session_id",
        "What happened to it, and what its user did in its project since: the 200 latest, oldest "
        "first.",
    )


def _seconds(started_at: datetime | None, ended_at: datetime | None) -> float | None:
    if started_at is None:
        return None
    return ((ended_at or datetime.now(UTC)) - started_at).total_seconds()
