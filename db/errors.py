"""Every error that a caller can act on: a class a code; its docstring is the message."""

from collections.abc import Mapping
from typing import Any, ClassVar


class Problem(Exception):
    """The request could not be carried out."""

    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.details: Mapping[str, Any] = details
        super().__init__(self.message)


class TokenInvalid(Problem):
    """The token is invalid or has expired."""

    code = "AUTH_TOKEN_INVALID"


class TokenMissing(Problem):
    """The Authorization header is missing."""

    code = "AUTH_TOKEN_MISSING"


class CredentialsInvalid(Problem):
    """The user name or the password is wrong."""

    code = "AUTH_TOKEN_INVALID"


class InsufficientPermissions(Problem):
    """You lack the permission for this."""

    code = "AUTH_INSUFFICIENT_PERMISSIONS"


class AccountDisabled(Problem):
    """The account is disabled."""

    code = "AUTH_ACCOUNT_DISABLED"


class Invalid(Problem):
    """Invalid input data"""

    code = "VALIDATION_ERROR"

    def __init__(self, field: str, issue: str, **details: Any) -> None:
        super().__init__(None, field=field, issue=issue, **details)


class RequiredField(Invalid):
    """Invalid input data"""

    code = "VALIDATION_REQUIRED_FIELD"

    def __init__(self, field: str, issue: str = "Field is required") -> None:
        super().__init__(field, issue)


class InvalidFormat(Invalid):
    """Invalid input data"""

    code = "VALIDATION_INVALID_FORMAT"


class Unstorable(Problem):
    """Text that the database can't hold: it contains NUL."""

    code = "VALIDATION_INVALID_FORMAT"


class ValueTooLong(Invalid):
    """Invalid input data"""

    code = "VALIDATION_VALUE_TOO_LONG"

    def __init__(self, field: str, longest: int) -> None:
        super().__init__(field, f"Must be at most {longest} characters", max_length=longest)


class ValueTooShort(Invalid):
    """Invalid input data"""

    code = "VALIDATION_VALUE_TOO_SHORT"

    def __init__(self, field: str, shortest: int) -> None:
        super().__init__(field, f"Must be at least {shortest} characters", min_length=shortest)


class ResourceNotFound(Problem):
    """The resource does not exist."""

    code = "RESOURCE_NOT_FOUND"


class ResourceAlreadyExists(Problem):
    """A resource with the same identifier exists."""

    code = "RESOURCE_ALREADY_EXISTS"


class ResourceInUse(Problem):
    """The resource cannot be deleted while it is in use."""

    code = "RESOURCE_IN_USE"


class ResourceLimitExceeded(Problem):
    """The limit of this resource is reached."""

    code = "RESOURCE_LIMIT_EXCEEDED"


class TaskNotFound(Problem):
    """The task does not exist."""

    code = "TASK_NOT_FOUND"


class TaskAlreadyRunning(Problem):
    """The task is already being executed."""

    code = "TASK_ALREADY_RUNNING"


class TaskExecutionFailed(Problem):
    """Failed to execute task"""

    code = "TASK_EXECUTION_FAILED"


class TaskTimeout(Problem):
    """The task took longer than its timeout."""

    code = "TASK_TIMEOUT"


class TaskCancelled(Problem):
    """The task was cancelled."""

    code = "TASK_CANCELLED"


class TaskDependencyNotMet(Problem):
    """The task depends on tasks that are not completed."""

    code = "TASK_DEPENDENCY_NOT_MET"


class ProjectNotFound(Problem):
    """The project does not exist."""

    code = "PROJECT_NOT_FOUND"


class ProjectAccessDenied(Problem):
    """Your role in the project does not allow this."""

    code = "PROJECT_ACCESS_DENIED"


class ProjectArchived(Problem):
    """The project is archived and read-only."""

    code = "PROJECT_ARCHIVED"


class ProjectLimitExceeded(Problem):
    """The project's resource limits are exceeded."""

    code = "PROJECT_LIMIT_EXCEEDED"


class RateLimitExceeded(Problem):
    """Too many requests. Please try again later."""

    code = "RATE_LIMIT_EXCEEDED"


class SystemMaintenance(Problem):
    """The system is in maintenance mode."""

    code = "SYSTEM_MAINTENANCE"


class SystemOverloaded(Problem):
    """The system is overloaded, try again later."""

    code = "SYSTEM_OVERLOADED"


class DatabaseUnavailable(Problem):
    """The database could not carry out the operation."""

    code = "DATABASE_ERROR"


class BudgetSpent(Problem):
    """The budget is spent."""

    code = "PROJECT_LIMIT_EXCEEDED"


class QueueFull(Problem):
    """The task queue is full."""

    code = "QUEUE_FULL"


class WebSocketConnectionFailed(Problem):
    """The WebSocket connection failed."""

    code = "WEBSOCKET_CONNECTION_FAILED"


class WorkerLost(Problem):
    """The worker that carried out the run is gone."""

    code = "WORKER_LOST"
