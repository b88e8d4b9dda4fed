"""Users."""

from tests.contract.facts.endpoints import Endpoint
from tests.contract.shapes import (
    COUNT,
    DURATION,
    FLAG,
    ID,
    TEXT,
    TIME,
    WHOLE,
    WORDS,
    Nullable,
    Some,
    word,
)

PREFERENCES = {
    "theme": "light",
    "language": "en",
    "timezone": "America/New_York",
    "notifications": {"email": False, "push": True, "task_updates": True, "project_updates": False},
    "dashboard_layout": {"widgets": ["tasks", "projects", "performance"], "columns": 3},
}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/users/profile",
        given={"user": "a_used_account"},
        answer={
            "id": ID,
            "username": WORDS,
            "email": Nullable(WORDS),
            "full_name": WORDS,
            "avatar_url": Nullable(WORDS),
            "role": word("admin", "developer", "viewer"),
            "permissions": Some(WORDS),
            "created_at": TIME,
            "last_login": TIME,
            "preferences": {
                "theme": TEXT,
                "language": TEXT,
                "timezone": TEXT,
                "notifications": {"email": FLAG, "push": FLAG, "task_updates": FLAG},
            },
            "statistics": {
                "tasks_created": COUNT,
                "tasks_completed": COUNT,
                "projects_created": COUNT,
                "total_login_time": DURATION,
            },
        },
    ),
    Endpoint(
        "PUT",
        "/api/users/preferences",
        body=PREFERENCES,
        answer={
            "preferences": {
                "theme": TEXT,
                "language": TEXT,
                "timezone": TEXT,
                "notifications": {
                    "email": FLAG,
                    "push": FLAG,
                    "task_updates": FLAG,
                    "project_updates": FLAG,
                },
                "dashboard_layout": {"widgets": Some(TEXT), "columns": WHOLE},
            },
            "updated_at": TIME,
        },
    ),
)
