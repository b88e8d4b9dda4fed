"""Sessions."""

from tests.contract.facts.endpoints import Endpoint
from tests.contract.shapes import COUNT, FLAG, ID, TEXT, TIME, WORDS, Some, word

SETTINGS = {"theme": "dark", "auto_save": True, "notifications": True}
LISTED = {
    "session_id": ID,
    "project_id": ID,
    "status": word("active"),
    "created_at": TIME,
    "last_accessed": TIME,
    "expires_at": TIME,
}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/sessions/",
        success=201,
        body={"project_id": "{project_id}", "settings": SETTINGS},
        answer={
            **LISTED,
            "user_id": ID,
            "settings": {"theme": TEXT, "auto_save": FLAG, "notifications": FLAG},
        },
    ),
    Endpoint(
        "GET",
        "/api/sessions/",
        given={"session_id": "session_id"},
        query={"status": ("active",), "project_id": ("{session_project_id}",)},
        free=("project_id",),
        answer={"sessions": Some({**LISTED, "project_name": WORDS}), "total": COUNT},
    ),
    Endpoint("GET", "/api/sessions/{session_id}"),
    Endpoint(
        "PUT",
        "/api/sessions/{session_id}",
        body={"settings": {"theme": "light", "auto_save": False}},
    ),
    Endpoint("DELETE", "/api/sessions/{session_id}"),
    Endpoint("GET", "/api/sessions/{session_id}/history"),
    Endpoint(
        "POST",
        "/api/sessions/{session_id}/restore",
        body={
            "restore_point": "{after_session_began}",
            "include_tasks": True,
            "include_settings": True,
        },
    ),
)
