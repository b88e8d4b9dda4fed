"""/ws/{session_id}: what a client may say, and what it hears."""

from collections.abc import Mapping
from typing import Any

from tests.contract.shapes import (
    ANY,
    COUNT,
    DURATION,
    ID,
    NUMBER,
    OBJECT,
    TEXT,
    TIME,
    WHOLE,
    WORDS,
    Shape,
    Some,
    word,
)

PATH = "/ws/{session_id}"
CHANNELS = ("project_updates", "task_updates")
METRICS = ("performance", "queue_status", "system_health")

SAID: Mapping[str, Mapping[str, Any]] = {
    "authenticate": {"type": "authenticate", "token": "{token}"},
    "execute_task": {"type": "execute_task", "task_id": "{task_id}", "priority": "high"},
    "subscribe": {"type": "subscribe", "channel": "project_updates", "project_id": "{project_id}"},
    "unsubscribe": {
        "type": "unsubscribe",
        "channel": "project_updates",
        "project_id": "{project_id}",
    },
    "get_metrics": {"type": "get_metrics", "metrics": list(METRICS)},
    "ping": {"type": "ping", "timestamp": 1753875600000},
}
"""What a client may say, by the message's type."""

HEARD: Mapping[str, Shape] = {
    "task_update": {
        "type": word("task_update"),
        "data": {
            "task_id": ID,
            "status": WORDS,
            "progress_percentage": COUNT,
            "updated_at": TIME,
        },
        "timestamp": TIME,
    },
    "task_completed": {
        "type": word("task_completed"),
        "data": {
            "task_id": ID,
            "status": word("completed"),
            "completed_at": TIME,
            "duration": DURATION,
            "exit_code": WHOLE,
        },
        "timestamp": TIME,
    },
    "command_output": {
        "type": word("command_output"),
        "data": {
            "command_id": ID,
            "stream": word("stdout", "stderr"),
            "content": TEXT,
            "timestamp": TIME,
        },
    },
    "performance_data": {
        "type": word("performance_data"),
        "data": {
            "cpu_usage": NUMBER,
            "memory_usage": NUMBER,
            "active_connections": COUNT,
            "tasks_per_minute": NUMBER,
            "queue_sizes": {"high": COUNT, "normal": COUNT, "low": COUNT},
        },
        "timestamp": TIME,
    },
    "notification": {
        "type": word("notification"),
        "data": {
            "level": WORDS,
            "title": WORDS,
            "message": WORDS,
            "actions": Some({"label": WORDS, "action": WORDS}),
        },
        "timestamp": TIME,
    },
    "error": {
        "type": word("error"),
        "data": {
            "code": WORDS,
            "message": WORDS,
            "task_id": ID,
            "details": OBJECT,
        },
        "timestamp": TIME,
    },
    "pong": {"type": word("pong"), "timestamp": ANY},
}
"""What a client hears, by the message's type."""

MORE: Mapping[str, Shape] = {
    "error": {"data": {"details": {"error": WORDS, "exit_code": WHOLE}}},
    "notification": {"data": {"actions": [{"label": WORDS, "action": WORDS, "url": WORDS}]}},
}
"""What is heard besides of a task that failed, and of an action that leads somewhere."""
