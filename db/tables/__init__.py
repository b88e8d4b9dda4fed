"""Every table, by family. Relations live in the graph; rules in the files beside this one."""

from db.tables.agents import agent_events, agent_inputs, agent_policies, approvals, spendings
from db.tables.columns import metadata
from db.tables.news import deliveries, events, notification_receipts, notifications, webhooks
from db.tables.people import sessions, users
from db.tables.running import (
    chunks,
    lanes,
    leases,
    maintenance,
    runs,
    schedules,
    waiting,
    workers,
)
from db.tables.work import documents, members, projects, task_dependencies, task_tags, tasks

__all__ = [
    "agent_events",
    "agent_inputs",
    "agent_policies",
    "approvals",
    "chunks",
    "deliveries",
    "documents",
    "events",
    "lanes",
    "leases",
    "maintenance",
    "members",
    "metadata",
    "notification_receipts",
    "notifications",
    "projects",
    "runs",
    "schedules",
    "sessions",
    "spendings",
    "task_dependencies",
    "task_tags",
    "tasks",
    "users",
    "waiting",
    "webhooks",
    "workers",
]
