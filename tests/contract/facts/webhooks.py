"""Webhooks: what is told, how, and how it is signed."""

from tests.contract.shapes import DURATION, FLAG, ID, OBJECT, TIME, WORDS, word

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
PAYLOAD = {
    "event": WORDS,
    "timestamp": TIME,
    "data": {"task_id": ID, "project_id": ID, "status": WORDS, "duration": DURATION},
    "webhook_id": ID,
    "delivery_id": ID,
}
ENVELOPE = PAYLOAD | {"data": OBJECT}
"""Of every event; what is within `data` is documented of `task.completed` alone."""
OF_A_TASK = {"task_id": ID, "project_id": ID, "status": WORDS}
DATA = {
    "task.created": OF_A_TASK,
    "task.updated": OF_A_TASK | {"field": WORDS},
    "task.completed": OF_A_TASK | {"status": word("completed"), "duration": DURATION},
    "task.failed": OF_A_TASK | {"status": word("failed"), "duration": DURATION},
    "project.created": {"project_id": ID, "name": WORDS},
    "project.updated": {"project_id": ID},
    "system.maintenance": {"active": FLAG},
    "system.alert": {"level": WORDS, "title": WORDS, "message": WORDS},
}
HEADERS = ("X-Signature-256", "X-Delivery-ID", "X-Event-Type")
