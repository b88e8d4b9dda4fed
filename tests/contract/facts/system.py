"""Signing in, health and the system."""

from tests.contract.facts.endpoints import Endpoint
from tests.contract.shapes import (
    COUNT,
    FLAG,
    ID,
    NUMBER,
    RATE,
    SIZE,
    TEXT,
    TIME,
    TOKEN,
    WHOLE,
    WORDS,
    Nullable,
    word,
)

ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/auth/login",
        is_public=True,
        body={"username": "{username}", "password": "{password}"},
        answer={
            "access_token": TOKEN,
            "token_type": word("bearer"),
            "expires_in": WHOLE,
            "user": {"id": ID, "username": WORDS, "email": Nullable(TEXT)},
        },
    ),
    Endpoint(
        "POST",
        "/api/auth/refresh",
        is_public=True,
        answer={"access_token": TOKEN, "expires_in": WHOLE},
    ),
    Endpoint(
        "GET",
        "/api/health/",
        is_public=True,
        answer={"status": word("healthy"), "timestamp": TIME, "uptime": COUNT, "version": WORDS},
    ),
    Endpoint(
        "GET",
        "/api/health/detailed",
        is_public=True,
        answer={
            "status": word("healthy"),
            "timestamp": TIME,
            "checks": {
                "database": {
                    "status": word("healthy"),
                    "response_time": NUMBER,
                    "connections": {"active": COUNT, "idle": COUNT, "total": COUNT},
                },
                "redis": {
                    "status": word("healthy"),
                    "memory_usage": SIZE,
                    "connected_clients": COUNT,
                },
                "websocket": {
                    "status": word("healthy"),
                    "active_connections": COUNT,
                    "avg_latency": NUMBER,
                },
            },
            "metrics": {
                "requests_per_minute": NUMBER,
                "average_response_time": NUMBER,
                "error_rate": RATE,
            },
        },
    ),
    Endpoint(
        "GET",
        "/api/system/info",
        answer={
            "version": WORDS,
            "environment": WORDS,
            "features": {
                "websocket_enabled": FLAG,
                "redis_enabled": FLAG,
                "monitoring_enabled": FLAG,
            },
            "limits": {
                "max_tasks_per_project": COUNT,
                "max_concurrent_tasks": COUNT,
                "max_file_size": SIZE,
            },
        },
    ),
)
