"""THE TABLE: every documented path and /ws message, and the operation that answers it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple


class Row(NamedTuple):
    """One method on one path. A public row does not ask who is calling.

    `unwell` is the status when the answer's own `status` is `unhealthy`.
    """

    method: str
    path: str
    operation: str
    success: int = HTTPStatus.OK
    is_public: bool = False
    unwell: int | None = None


UNWELL = HTTPStatus.SERVICE_UNAVAILABLE
TABLE = (
    Row("POST", "/api/auth/login", "Login", is_public=True),
    Row("POST", "/api/auth/refresh", "RefreshToken", is_public=True),
    Row("GET", "/api/health/", "GetHealth", is_public=True, unwell=UNWELL),
    Row("GET", "/api/health/detailed", "GetDetailedHealth", is_public=True, unwell=UNWELL),
    Row("GET", "/api/system/info", "GetSystemInfo"),
    Row("POST", "/api/tasks/", "CreateTask", HTTPStatus.CREATED),
    Row("GET", "/api/tasks/", "ListTasks"),
    Row("POST", "/api/tasks/bulk", "BulkTasks"),
    Row("GET", "/api/tasks/{task_id}", "GetTask"),
    Row("PUT", "/api/tasks/{task_id}", "UpdateTask"),
    Row("DELETE", "/api/tasks/{task_id}", "DeleteTask"),
    Row("GET", "/api/tasks/{task_id}/history", "GetTaskHistory"),
    Row("POST", "/api/tasks/{task_id}/dependencies", "AddDependency", HTTPStatus.CREATED),
    Row("DELETE", "/api/tasks/{task_id}/dependencies/{dependency_id}", "RemoveDependency"),
    Row("POST", "/api/tasks/{task_id}/execute", "ExecuteTask"),
    Row("POST", "/api/tasks/{task_id}/cancel", "CancelTask"),
    Row("POST", "/api/tasks/{task_id}/retry", "RetryTask"),
    Row("POST", "/api/projects/", "CreateProject", HTTPStatus.CREATED),
    Row("GET", "/api/projects/", "ListProjects"),
    Row("GET", "/api/projects/{project_id}", "GetProject"),
    Row("PUT", "/api/projects/{project_id}", "UpdateProject"),
    Row("DELETE", "/api/projects/{project_id}", "DeleteProject"),
    Row("GET", "/api/projects/{project_id}/tasks", "ListProjectTasks"),
    Row("POST", "/api/projects/{project_id}/clone", "CloneProject", HTTPStatus.CREATED),
    Row("GET", "/api/projects/{project_id}/analytics", "GetProjectAnalytics"),
    Row("POST", "/api/commands/execute", "ExecuteCommand"),
    Row("GET", "/api/commands/running", "ListRunningCommands"),
    Row("GET", "/api/commands/history", "GetCommandHistory"),
    Row("GET", "/api/commands/suggestions", "SuggestCommands"),
    Row("POST", "/api/commands/validate", "ValidateCommand"),
    Row("GET", "/api/commands/{command_id}/status", "GetCommand"),
    Row("POST", "/api/commands/{command_id}/cancel", "CancelCommand"),
    Row("GET", "/api/users/profile", "GetProfile"),
    Row("PUT", "/api/users/preferences", "UpdatePreferences"),
    Row("POST", "/api/sessions/", "CreateSession", HTTPStatus.CREATED),
    Row("GET", "/api/sessions/", "ListSessions"),
    Row("GET", "/api/sessions/{session_id}", "GetSession"),
    Row("PUT", "/api/sessions/{session_id}", "UpdateSession"),
    Row("DELETE", "/api/sessions/{session_id}", "DeleteSession"),
    Row("GET", "/api/sessions/{session_id}/history", "GetSessionHistory"),
    Row("POST", "/api/sessions/{session_id}/restore", "RestoreSession"),
    Row("GET", "/api/queues/status", "GetQueueStatus"),
    Row("POST", "/api/queues/pause", "PauseQueue"),
    Row("POST", "/api/queues/resume", "ResumeQueue"),
    Row("DELETE", "/api/queues/clear", "ClearQueue"),
    Row("GET", "/api/queues/metrics", "GetQueueMetrics"),
    Row("POST", "/api/queues/priority", "SetQueuePriority"),
)


class Request(NamedTuple):
    """A /ws message that asks for something once: its operation, and the type of the reply."""

    operation: str
    reply: str


class Channel(NamedTuple):
    """A /ws channel: its subscription, and the words that tell one subscription from another."""

    operation: str
    key: tuple[str, ...]


USE_SESSION = "UseSession"
NOTIFICATIONS = "Notifications"
REQUESTS = {
    "execute_task": Request("QueueTask", "task_update"),
    "get_metrics": Request("GetMetrics", "performance_data"),
    # A message of our own: a notification was read.
    "acknowledge": Request("AcknowledgeNotification", "acknowledged"),
}
CHANNELS = {
    "project_updates": Channel("ProjectUpdates", ("project_id",)),
    "task_updates": Channel("TaskUpdates", ("project_id", "task_id")),
    "command_output": Channel("CommandOutput", ("command_id",)),
}
# What a channel yields, and the type of the message that tells it.
MESSAGES = {
    "TaskUpdate": "task_update",
    "TaskCompleted": "task_completed",
    "TaskFailed": "error",
    "CommandOutput": "command_output",
    "CommandFinished": "command_completed",
    "Notification": "notification",
}

OPERATIONS = {USE_SESSION, NOTIFICATIONS}.union(
    (row.operation for row in TABLE),
    (request.operation for request in REQUESTS.values()),
    (channel.operation for channel in CHANNELS.values()),
)


class Routes:
    """Finds what may be done on a path; a literal segment goes before a parameter.

    Each path is served with and without its trailing slash: a redirect would lose the body.
    """

    def __init__(self, table: Iterable[Row]) -> None:
        self._root = _Node()
        for row in table:
            node = self._root
            for segment in _segments(row.path):
                node = node.grown(segment)
            node.rows[row.method] = row

    def find(self, path: str) -> tuple[Mapping[str, Row], dict[str, str]]:
        """The rows of a path by method, none for an unknown one; the values of its parameters."""
        node, values = self._root, {}
        for segment in _segments(path):
            if literal := node.literals.get(segment):
                node = literal
            elif node.below and segment:
                values[node.parameter] = segment
                node = node.below
            else:
                return {}, {}
        return node.rows, values


@dataclass
class _Node:
    rows: dict[str, Row] = field(default_factory=dict)
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: str = ""
    below: "_Node | None" = None

    def grown(self, segment: str) -> "_Node":
        if not segment.startswith("{"):
            return self.literals.setdefault(segment, _Node())
        self.parameter, self.below = segment.strip("{}"), self.below or _Node()
        return self.below


def _segments(path: str) -> list[str]:
    return path.removesuffix("/").split("/")
