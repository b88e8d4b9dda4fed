"""What webhooks are told of an event, in the documented words."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row

from db.spelling import duration_text, to_the_second

EVENTS = (
    "task.created",
    "task.updated",
    "task.completed",
    "task.failed",
    "project.created",
    "project.updated",
    "system.maintenance",
    "system.alert",
)
OF_THE_SYSTEM = frozenset({"project.created", "system.maintenance", "system.alert"})
"""What no single project's webhook can hear of."""
PING = "ping"

WORDS: Mapping[str, str] = {
    **{event: event for event in EVENTS},
    # The status changed, for which the documentation has no other word.
    "task.started": "task.updated",
    "task.cancelled": "task.updated",
}
"""The documented word for what the log calls otherwise."""
TOO_LONG = ("description", "metadata")


def kinds_of(words: Collection[str]) -> list[str]:
    """What the log calls these events."""
    return [kind for kind, word in WORDS.items() if word in words]


def is_told(event: Row[Any]) -> bool:
    """False of an alert that was for one user alone."""
    return not (event.kind == "system.alert" and event.data.get("user_id"))


def data_of(event: Row[Any]) -> dict[str, Any]:
    """What is told of an event."""
    match event.kind.partition(".")[0]:
        case "task":
            return _of_task(event)
        case "project":
            return {"project_id": event.project_id, **event.data}
        case _:
            return {name: value for name, value in event.data.items() if name != "user_id"}


def body(
    event: str, at: datetime, data: Mapping[str, Any], webhook_id: str, delivery_id: str
) -> bytes:
    """The bytes that are sent."""
    return orjson.dumps(
        {
            "event": event,
            "timestamp": to_the_second(at),
            "data": data,
            "webhook_id": webhook_id,
            "delivery_id": delivery_id,
        }
    )


def _of_task(event: Row[Any]) -> dict[str, Any]:
    task, details = event.data, event.data["details"]
    told = {
        "task_id": event.task_id,
        "project_id": event.project_id,
        "status": task["status"],
        "title": task["title"],
    }
    if event.kind in ("task.completed", "task.failed"):
        seconds = task.get("duration_seconds")
        duration = None if seconds is None else duration_text(seconds)
        ended = ("exit_code", "error_code", "error")
        return told | {"duration": duration, **{name: details.get(name) for name in ended}}
    if WORDS[event.kind] == "task.updated":
        return told | _change(details)
    return told


def _change(details: Mapping[str, Any]) -> dict[str, Any]:
    field = details.get("field", "status")
    if field in TOO_LONG:
        return {"field": field}
    values = {name: details.get(name) for name in ("old_value", "new_value")}
    return {"field": field} | values
