"""Tasks."""

from tests.contract.facts.endpoints import Endpoint
from tests.contract.facts.envelope import PAGE
from tests.contract.shapes import (
    ANY,
    COUNT,
    DURATION,
    ID,
    OBJECT,
    TEXT,
    TIME,
    WHOLE,
    WORDS,
    Nullable,
    Some,
    word,
)

STATUSES = ("pending", "running", "completed", "failed", "cancelled")
STATUS = word(*STATUSES)

FILTERS = {
    "status": (*STATUSES, "pending,running"),
    "assigned_to": ("{user_id}",),
    "priority": ("1",),
    "tags": ("security", "security,backend"),
    "search": (
        "authentication",
        '"user authentication"',
        "auth* AND security",
        "title:authentication",
    ),
    "created_after": ("2025-07-01T00:00:00Z",),
    "created_before": ("2125-07-01T00:00:00Z",),
    "sort": ("created_at", "updated_at", "priority", "title"),
    "order": ("desc", "asc"),
    "page": ("1",),
    "page_size": ("50", "100"),
}
NEW = {
    "title": "Write the contract down",
    "description": "Once, so that user authentication and all else is held to it",
    "project_id": "{project_id}",
    "priority": 1,
    "estimated_duration": "01:20:30",
    "assigned_to": "{user_id}",
    "tags": ["contract", "security"],
    "metadata": {"component": "tests", "complexity": "low"},
}
CREATED = {
    "id": ID,
    "title": WORDS,
    "description": WORDS,
    "project_id": ID,
    "status": word("pending"),
    "priority": WHOLE,
    "progress_percentage": COUNT,
    "estimated_duration": DURATION,
    "actual_duration": Nullable(DURATION),
    "assigned_to": ID,
    "created_by": ID,
    "created_at": TIME,
    "updated_at": TIME,
    "started_at": Nullable(TIME),
    "completed_at": Nullable(TIME),
    "tags": Some(TEXT),
    "metadata": {"component": TEXT, "complexity": TEXT},
}

HISTORY_DETAILS = {
    "created": {"initial_data": {"title": WORDS, "status": STATUS}},
    "status_changed": {"old_value": TEXT, "new_value": TEXT},
}
"""What the details of a task's history are, by what happened."""

ENDPOINTS = (
    Endpoint("POST", "/api/tasks/", success=201, body=NEW, answer=CREATED),
    Endpoint(
        "GET",
        "/api/tasks/",
        query={"project_id": ("{task_project_id}",), **FILTERS},
        free=("project_id", "assigned_to", "tags"),
        answer=PAGE
        | {
            "items": Some(
                {
                    "id": ID,
                    "title": WORDS,
                    "status": STATUS,
                    "priority": WHOLE,
                    "progress_percentage": COUNT,
                    "assigned_to": ID,
                    "created_at": TIME,
                    "updated_at": TIME,
                }
            )
        },
    ),
    Endpoint(
        "GET",
        "/api/tasks/{task_id}",
        given={"task_id": "running_task_id"},
        answer=CREATED
        | {
            "status": word("running"),
            "actual_duration": DURATION,
            "started_at": TIME,
            "dependencies": Some(
                {
                    "id": ID,
                    "depends_on_task_id": ID,
                    "dependency_type": word("blocks"),
                    "task": {"title": WORDS, "status": STATUS},
                }
            ),
            "history": Some(
                {
                    "timestamp": TIME,
                    "action": WORDS,
                    "old_value": Nullable(TEXT),
                    "new_value": Nullable(TEXT),
                    "user_id": Nullable(ID),
                }
            ),
        },
    ),
    Endpoint(
        "PUT",
        "/api/tasks/{task_id}",
        body={
            "title": "Write the contract down again",
            "status": "running",
            "progress_percentage": 75,
            "assigned_to": "{other_user_id}",
            "metadata": {"component": "tests", "complexity": "high", "notes": "There is more"},
        },
        answer={
            "id": ID,
            "title": WORDS,
            "status": word("running"),
            "progress_percentage": COUNT,
            "updated_at": TIME,
        },
    ),
    Endpoint("DELETE", "/api/tasks/{task_id}", answer={"message": WORDS, "deleted_at": TIME}),
    Endpoint(
        "POST",
        "/api/tasks/bulk",
        body={
            "operation": "update_status",
            "task_ids": ["{task_id}", "{other_task_id}"],
            "data": {"status": "completed", "progress_percentage": 100},
        },
        bodies=tuple(
            {"operation": operation, "task_ids": ["{task_id}", "{other_task_id}"], "data": data}
            for operation, data in {
                "assign": {"assigned_to": "{user_id}"},
                "add_tags": {"tags": ["backend"]},
                "remove_tags": {"tags": ["security"]},
                "set_priority": {"priority": 5},
                "delete": {},
            }.items()
        ),
        answer={
            "operation": word(
                "update_status", "assign", "add_tags", "remove_tags", "delete", "set_priority"
            ),
            "affected_count": COUNT,
            "successful": Some(ID),
            "failed": [ID],
            "errors": [ANY],
        },
    ),
    Endpoint(
        "GET",
        "/api/tasks/{task_id}/history",
        given={"task_id": "running_task_id"},
        answer={
            "task_id": ID,
            "history": Some(
                {
                    "id": ID,
                    "timestamp": TIME,
                    "action": WORDS,
                    "user_id": Nullable(ID),
                    "user_name": Nullable(WORDS),
                    "details": OBJECT,
                }
            ),
        },
        more={"history": [{"details": details} for details in HISTORY_DETAILS.values()]},
    ),
    Endpoint(
        "POST",
        "/api/tasks/{task_id}/execute",
        body={"priority": "high", "options": {"timeout": 3600, "retry_attempts": 3}},
        answer={
            "task_id": ID,
            "execution_id": ID,
            "status": word("queued"),
            "queue_position": COUNT,
            "estimated_start_time": TIME,
        },
    ),
    Endpoint(
        "POST",
        "/api/tasks/{task_id}/cancel",
        given={"task_id": "executing_task_id"},
        body={"reason": "There is something better"},
        answer={
            "task_id": ID,
            "status": word("cancelled"),
            "cancelled_at": TIME,
            "reason": word("There is something better"),
        },
    ),
    Endpoint(
        "POST",
        "/api/tasks/{task_id}/retry",
        given={"task_id": "failed_task_id"},
        answer={
            "task_id": ID,
            "execution_id": ID,
            "status": word("queued"),
            "retry_attempt": COUNT,
        },
    ),
)
