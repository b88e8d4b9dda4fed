"""Commands."""

from tests.contract.facts.endpoints import Endpoint
from tests.contract.shapes import (
    COUNT,
    FLAG,
    ID,
    NULL,
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    WORDS,
    Nullable,
    Some,
    word,
)

EXECUTED = {"command_id": ID, "status": word("running"), "pid": COUNT, "started_at": TIME}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/commands/execute",
        body={
            "command": "sleep 30",
            "working_directory": "{directory}",
            "timeout": 30,
            "environment": {"NODE_ENV": "development"},
            "stream_output": True,
        },
        answer=EXECUTED,
    ),
    Endpoint(
        "GET",
        "/api/commands/{command_id}/status",
        answer={
            "command_id": ID,
            "command": WORDS,
            "status": word("running"),
            "pid": COUNT,
            "started_at": TIME,
            "output": Some({"timestamp": TIME, "stream": word("stdout"), "content": TEXT}),
            "exit_code": NULL,
        },
    ),
    Endpoint(
        "POST",
        "/api/commands/{command_id}/cancel",
        answer={
            "command_id": ID,
            "status": word("cancelled"),
            "cancelled_at": TIME,
            "exit_code": WHOLE,
        },
    ),
    Endpoint(
        "GET",
        "/api/commands/running",
        given={"running": "command_id"},
        answer={
            "commands": Some(
                {
                    "command_id": ID,
                    "command": WORDS,
                    "status": word("running"),
                    "started_at": TIME,
                    "duration": NUMBER,
                }
            ),
            "total_running": COUNT,
        },
    ),
    Endpoint(
        "GET",
        "/api/commands/history",
        given={"ended": "ended_command_id"},
        query={"limit": ("50", "1"), "offset": ("0", "1000")},
        answer={
            "commands": Some(
                {
                    "command_id": ID,
                    "command": WORDS,
                    "status": WORDS,
                    "started_at": Nullable(TIME),
                    "completed_at": Nullable(TIME),
                    "exit_code": Nullable(WHOLE),
                    "duration": Nullable(NUMBER),
                }
            ),
            "total": COUNT,
            "limit": COUNT,
            "offset": COUNT,
        },
    ),
    Endpoint(
        "GET",
        "/api/commands/suggestions",
        query={"context": ("git",), "prefix": ("git ",)},
        free=("context", "prefix"),
        answer={"suggestions": Some({"command": WORDS, "description": WORDS, "category": WORDS})},
    ),
    Endpoint(
        "POST",
        "/api/commands/validate",
        body={"command": "rm -rf /", "check_safety": True},
        answer={
            "valid": FLAG,
            "safe": FLAG,
            "warnings": Some(WORDS),
            "suggestions": Some(WORDS),
        },
    ),
)
