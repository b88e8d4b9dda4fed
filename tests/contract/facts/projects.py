"""Projects."""

from tests.contract.facts.endpoints import Endpoint
from tests.contract.facts.envelope import PAGE
from tests.contract.facts.tasks import FILTERS
from tests.contract.shapes import (
    COUNT,
    DURATION,
    FLAG,
    ID,
    NUMBER,
    RATE,
    SIZE,
    TEXT,
    TIME,
    WORDS,
    Nullable,
    Some,
    word,
)

STATUSES = ("active", "archived", "completed")
PERIODS = ("30d", "7d", "90d", "1y")

NEW = {
    "name": "The contract",
    "description": "What clients rely on",
    "settings": {"theme": "dark", "notifications": True, "auto_assign": False},
    "resource_limits": {"max_tasks": 500, "max_concurrent_tasks": 5, "storage_limit": "1GB"},
}
COUNTS = {
    "total_tasks": COUNT,
    "completed_tasks": COUNT,
    "pending_tasks": COUNT,
    "running_tasks": COUNT,
}
CREATED = {
    "id": ID,
    "name": WORDS,
    "description": WORDS,
    "status": word("active"),
    "created_by": ID,
    "created_at": TIME,
    "updated_at": TIME,
    "settings": {"theme": TEXT, "notifications": FLAG, "auto_assign": FLAG},
    "resource_limits": {"max_tasks": COUNT, "max_concurrent_tasks": COUNT, "storage_limit": SIZE},
    "statistics": COUNTS,
}

ENDPOINTS = (
    Endpoint("POST", "/api/projects/", success=201, body=NEW, answer=CREATED),
    Endpoint(
        "GET",
        "/api/projects/",
        query={
            "status": STATUSES,
            "created_by": ("{user_id}",),
            "search": ("contract",),
            "sort": ("name", "created_at", "updated_at"),
            "order": ("asc", "desc"),
            "page": ("1",),
            "page_size": ("20",),
        },
        free=("created_by",),
        given={"project_id": "project_id"},
        answer=PAGE
        | {
            "items": Some(
                {
                    "id": ID,
                    "name": WORDS,
                    "description": Nullable(WORDS),
                    "status": word(*STATUSES),
                    "created_by": ID,
                    "created_at": TIME,
                    "statistics": COUNTS,
                }
            )
        },
    ),
    Endpoint(
        "GET",
        "/api/projects/{project_id}",
        given={"project_id": "busy_project_id"},
        answer=CREATED
        | {
            "statistics": {
                **COUNTS,
                "failed_tasks": COUNT,
                "completion_rate": RATE,
                "average_task_duration": DURATION,
            },
            "recent_activity": Some(
                {
                    "timestamp": TIME,
                    "action": WORDS,
                    "task_title": Nullable(WORDS),
                    "user_name": Nullable(WORDS),
                }
            ),
        },
    ),
    Endpoint(
        "PUT",
        "/api/projects/{project_id}",
        body={
            "name": "The contract, second edition",
            "description": "What clients still rely on",
            "status": "active",
            "settings": {"theme": "light", "notifications": False},
        },
        bodies=tuple({"status": status} for status in STATUSES),
    ),
    Endpoint("DELETE", "/api/projects/{project_id}"),
    Endpoint(
        "GET",
        "/api/projects/{project_id}/tasks",
        given={"project_id": "busy_project_id"},
        query={name: FILTERS[name] for name in ("status", "page", "page_size")},
    ),
    Endpoint(
        "POST",
        "/api/projects/{project_id}/clone",
        success=201,
        body={"name": "A copy", "include_tasks": False, "include_settings": True},
        bodies=({"name": "A whole copy", "include_tasks": True, "include_settings": False},),
    ),
    Endpoint(
        "GET",
        "/api/projects/{project_id}/analytics",
        given={"project_id": "busy_project_id"},
        query={"period": PERIODS},
        answer={
            "project_id": ID,
            "period": word(*PERIODS),
            "summary": {
                "total_tasks": COUNT,
                "completed_tasks": COUNT,
                "average_completion_time": DURATION,
                "productivity_score": RATE,
            },
            "task_trends": {"created_per_day": Some(COUNT), "completed_per_day": Some(COUNT)},
            "performance_metrics": {
                "average_task_duration": DURATION,
                "median_task_duration": DURATION,
                "completion_rate": RATE,
                "on_time_completion_rate": RATE,
            },
            "team_performance": Some(
                {
                    "user_id": ID,
                    "user_name": WORDS,
                    "tasks_completed": COUNT,
                    "average_duration": DURATION,
                    "completion_rate": NUMBER,
                }
            ),
        },
    ),
)
