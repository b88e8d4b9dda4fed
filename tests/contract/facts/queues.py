"""Queues."""

from tests.contract.facts.endpoints import Endpoint
from tests.contract.shapes import COUNT, DURATION, NUMBER, RATE

NAMES = ("high_priority", "normal_priority", "low_priority")
QUEUE = {"size": COUNT, "processing": COUNT, "completed_today": COUNT}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/queues/status",
        given={"ended": "completed_task_id"},
        answer={
            "queues": dict.fromkeys(NAMES, QUEUE),
            "workers": {"active": COUNT, "idle": COUNT, "total": COUNT},
            "performance": {
                "tasks_per_minute": NUMBER,
                "average_processing_time": DURATION,
                "success_rate": RATE,
            },
        },
    ),
    Endpoint(
        "POST",
        "/api/queues/pause",
        body={"queue_name": "low_priority", "reason": "The machine is being moved"},
    ),
    Endpoint(
        "POST",
        "/api/queues/resume",
        body={"queue_name": "low_priority"},
        bodies=tuple({"queue_name": name} for name in NAMES),
    ),
    Endpoint("DELETE", "/api/queues/clear", body={"queue_name": "low_priority", "confirm": True}),
    Endpoint("GET", "/api/queues/metrics", query={"period": ("24h",)}),
    Endpoint(
        "POST",
        "/api/queues/priority",
        body={"task_ids": ["{queued_task_id}"], "priority": "high"},
        bodies=tuple(
            {"task_ids": ["{queued_task_id}"], "priority": priority}
            for priority in ("normal", "low")
        ),
    ),
)
