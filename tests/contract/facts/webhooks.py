"""Webhooks: what is told, how, and how it is signed."""

from tests.contract.shapes import DURATION, ID, TIME, WORDS

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
HEADERS = ("X-Signature-256", "X-Delivery-ID", "X-Event-Type")
