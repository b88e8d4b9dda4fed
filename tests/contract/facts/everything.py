"""All that the documentation says of paths below /api."""

from tests.contract.facts import commands, projects, queues, sessions, system, tasks, users

ENDPOINTS = (
    *system.ENDPOINTS,
    *tasks.ENDPOINTS,
    *projects.ENDPOINTS,
    *commands.ENDPOINTS,
    *sessions.ENDPOINTS,
    *queues.ENDPOINTS,
    *users.ENDPOINTS,
)
PAGES = (
    "/docs",
    "/openapi.json",
    "/docs/postman_collection.json",
    "/docs/insomnia_collection.json",
)
"""What else is served."""
