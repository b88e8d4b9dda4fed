"""/api/tasks as documented."""

from typing import Any

import pytest

from tests.fixtures.server import Served
from tests.rest_compat.real import TIME, UUID, data_of, new_project, new_task, refusal_of

DOCUMENTED = {
    "title": "Implement user authentication",
    "description": "Add JWT-based authentication to the API",
    "priority": 1,
    "estimated_duration": "02:30:00",
    "tags": ["authentication", "security"],
    "metadata": {"component": "backend", "complexity": "medium"},
}
KEYS = [
    "id", "title", "description", "project_id", "status", "priority", "progress_percentage",
    "estimated_duration", "actual_duration", "assigned_to", "created_by", "created_at",
    "updated_at", "started_at", "completed_at", "tags", "metadata",
]  # fmt: skip


async def test_create_answers_as_documented(server: Served) -> None:
    admin = server.user_ids["admin"]
    async with server.http() as client:
        task = await new_task(client, **DOCUMENTED, assigned_to=admin)

    assert KEYS == list(task)
    assert {name: task[name] for name in DOCUMENTED} == DOCUMENTED
    assert UUID.fullmatch(task["id"])
    assert ("pending", 0) == (task["status"], task["progress_percentage"])
    assert (admin, admin) == (task["assigned_to"], task["created_by"])
    assert TIME.fullmatch(task["created_at"])
    assert [None] * 3 == [task[name] for name in ("actual_duration", "started_at", "completed_at")]


async def test_list_answers_a_page(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client)
        for number in range(3):
            await new_task(client, project_id=project["id"], priority=number)
        query = f"project_id={project['id']}&sort=priority&page_size=2"
        page = data_of(await client.get(f"/api/tasks/?{query}"))

    assert [2, 1] == [task["priority"] for task in page["items"]]
    assert [
        "id", "title", "status", "priority", "progress_percentage", "assigned_to", "created_at",
        "updated_at",
    ] == list(page["items"][0])  # fmt: skip
    page.pop("items")
    page.pop("pagination")
    assert {
        "total": 3,
        "page": 1,
        "page_size": 2,
        "pages": 2,
        "has_next": True,
        "has_previous": False,
    } == page


async def test_list_filters(server: Served) -> None:
    expected = {
        "": ["a", "b", "c"],
        "status=pending": ["a", "c"],
        "status=running,completed": ["b"],
        "status=pending&status=completed": ["a", "b", "c"],
        "priority=2": ["b", "c"],
        "tags=red,green": ["a", "b"],
        "search=word": ["c"],
        'search="A word"': ["c"],
        "search=w* AND NOT title:a": ["c"],
        "search=title:word": [],
        "search=NOT word": ["a", "b"],
        "search=tags:green OR wor*": ["b", "c"],
        "search=b&tags=green&status=completed,pending&priority=1": ["b"],
        "created_after=2020-01-01T00:00:00Z": ["a", "b", "c"],
        "created_before=2020-01-01": [],
        "assigned_to=unknown": [],
        "page=2&page_size=1": ["b"],
    }
    async with server.http() as client:
        project_id = (await new_project(client))["id"]
        of_project = {"project_id": project_id}
        await new_task(client, **of_project, title="a", tags=["red"], priority=1)
        second = await new_task(client, **of_project, title="b", tags=["green"], priority=2)
        await new_task(client, **of_project, title="c", description="a wORd", priority=3)
        await client.put(f"/api/tasks/{second['id']}", json={"status": "completed"})
        path = f"/api/tasks/?project_id={project_id}&sort=title&order=asc"
        pages = {query: data_of(await client.get(f"{path}&{query}")) for query in expected}

    assert expected == {
        query: [task["title"] for task in page["items"]] for query, page in pages.items()
    }


async def test_get_answers_as_documented(server: Served) -> None:
    async with server.http() as client:
        task = await new_task(client, **DOCUMENTED)
        await client.put(f"/api/tasks/{task['id']}", json={"status": "running"})
        found = data_of(await client.get(f"/api/tasks/{task['id']}"))

    assert [*KEYS, "dependencies", "history"] == list(found)
    assert [] == found["dependencies"]
    assert ["timestamp", "action", "old_value", "new_value", "user_id"] == list(found["history"][0])
    assert {
        "action": "status_changed",
        "old_value": "pending",
        "new_value": "running",
        "user_id": server.user_ids["admin"],
    }.items() <= found["history"][-1].items()


async def test_update_changes_only_what_is_given(server: Served) -> None:
    async with server.http() as client:
        task = await new_task(client, **DOCUMENTED)
        path = f"/api/tasks/{task['id']}"
        changed = data_of(await client.put(path, json={"progress_percentage": 75}))
        emptied = data_of(await client.put(path, json={"description": None}))

    assert KEYS == list(changed)
    assert (75, DOCUMENTED["description"]) == (
        changed["progress_percentage"],
        changed["description"],
    )
    assert (75, None) == (emptied["progress_percentage"], emptied["description"])


async def test_history_names_who_did_what(server: Served) -> None:
    async with server.http() as client:
        task = await new_task(client)
        await client.put(f"/api/tasks/{task['id']}", json={"status": "running"})
        answer = data_of(await client.get(f"/api/tasks/{task['id']}/history"))

    assert ["task_id", "history"] == list(answer)
    assert task["id"] == answer["task_id"]
    created, changed = answer["history"]
    assert ["id", "timestamp", "action", "user_id", "user_name", "details"] == list(created)
    assert ("created", "The admin") == (created["action"], created["user_name"])
    assert {"initial_data": {"title": "T", "status": "pending"}} == created["details"]
    assert "status_changed" == changed["action"]
    assert {"old_value": "pending", "new_value": "running"}.items() <= changed["details"].items()


async def test_a_deleted_task_is_gone(server: Served) -> None:
    async with server.http() as client:
        task = await new_task(client)
        deleted = data_of(await client.delete(f"/api/tasks/{task['id']}"))
        again = await client.get(f"/api/tasks/{task['id']}")

    assert ["message", "deleted_at"] == list(deleted)
    assert "Task deleted successfully" == deleted["message"]
    assert (404, "TASK_NOT_FOUND") == refusal_of(again)


async def test_execute_queues_a_task_once(idle_server: Served) -> None:
    body = {"priority": "high", "options": {"timeout": 3600, "retry_attempts": 3}}
    async with idle_server.http() as client:
        task = await new_task(client, metadata={"command": "true"})
        path = f"/api/tasks/{task['id']}/execute"
        execution = data_of(await client.post(path, json=body))
        again = await client.post(path)

    assert [
        "task_id", "execution_id", "status", "queue_position", "estimated_start_time",
    ] == list(execution)  # fmt: skip
    assert (task["id"], "queued", 1) == (
        execution["task_id"],
        execution["status"],
        execution["queue_position"],
    )
    assert TIME.fullmatch(execution["estimated_start_time"])
    assert (409, "TASK_ALREADY_RUNNING") == refusal_of(again)


async def test_cancel_and_retry_a_task(idle_server: Served) -> None:
    async with idle_server.http() as client:
        task = await new_task(client, metadata={"command": "true"})
        path = f"/api/tasks/{task['id']}"
        first = data_of(await client.post(f"{path}/execute"))
        cancelled = data_of(
            await client.post(f"{path}/cancel", json={"reason": "Requirements changed"})
        )
        retried = data_of(await client.post(f"{path}/retry"))

    assert ["task_id", "status", "cancelled_at", "reason"] == list(cancelled)
    assert ("cancelled", "Requirements changed") == (cancelled["status"], cancelled["reason"])
    assert TIME.fullmatch(cancelled["cancelled_at"])
    assert ["task_id", "execution_id", "status", "retry_attempt"] == list(retried)
    assert ("queued", 2) == (retried["status"], retried["retry_attempt"])
    assert first["execution_id"] != retried["execution_id"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "VALIDATION_REQUIRED_FIELD", "project_id"),
        ({"title": None}, "VALIDATION_REQUIRED_FIELD", "title"),
        ({"title": " "}, "VALIDATION_REQUIRED_FIELD", "title"),
        ({"title": "x" * 501}, "VALIDATION_VALUE_TOO_LONG", "title"),
        ({"title": ["x"]}, "VALIDATION_INVALID_FORMAT", "title"),
        ({"title": "a\0"}, "VALIDATION_INVALID_FORMAT", "title"),
        ({"priority": "high"}, "VALIDATION_INVALID_FORMAT", "priority"),
        ({"priority": -1}, "VALIDATION_ERROR", "priority"),
        ({"estimated_duration": "1h"}, "VALIDATION_INVALID_FORMAT", "estimated_duration"),
        ({"tags": "red"}, "VALIDATION_INVALID_FORMAT", "tags"),
        ({"tags": ["red", 1]}, "VALIDATION_INVALID_FORMAT", "tags.1"),
        ({"metadata": []}, "VALIDATION_INVALID_FORMAT", "metadata"),
        ({"assigned_to": "nobody"}, "VALIDATION_INVALID_FORMAT", "assigned_to"),
    ],
)
async def test_a_wrong_body_names_its_field(
    server: Served, body: dict[str, Any], code: str, field: str
) -> None:
    async with server.http() as client:
        project = await new_project(client)
        whole = {"project_id": project["id"], "title": "T"} if body else {}
        response = await client.post("/api/tasks/", json=whole | body)

    assert (422, code) == refusal_of(response)
    assert field == response.json()["error"]["details"]["field"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("page=x", "VALIDATION_INVALID_FORMAT", "page"),
        ("page=0", "VALIDATION_ERROR", "page"),
        ("page_size=101", "VALIDATION_ERROR", "page_size"),
        ("status=done", "VALIDATION_INVALID_FORMAT", "status"),
        ("sort=color", "VALIDATION_INVALID_FORMAT", "sort"),
        ("created_after=yesterday", "VALIDATION_INVALID_FORMAT", "created_after"),
        ("created_after=0001-01-01T00:00:00%2B05:00", "VALIDATION_INVALID_FORMAT", "created_after"),
        ("search=%00", "VALIDATION_INVALID_FORMAT", "search"),
        ("search=a AND", "VALIDATION_INVALID_FORMAT", "search"),
        ("search=todo:a", "VALIDATION_INVALID_FORMAT", "search"),
        ("search=" + "a" * 501, "VALIDATION_VALUE_TOO_LONG", "search"),
        ("priority=99999999999", "VALIDATION_INVALID_FORMAT", "priority"),
    ],
)
async def test_a_wrong_query_names_its_word(
    server: Served, query: str, code: str, field: str
) -> None:
    async with server.http() as client:
        response = await client.get(f"/api/tasks/?{query}")

    assert (422, code) == refusal_of(response)
    assert field == response.json()["error"]["details"]["field"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/tasks/unknown"),
        ("GET", "/api/tasks/01a20946-e7ff-7162-95c1-8fcac26cbb19/history"),
        ("PUT", "/api/tasks/unknown"),
        ("DELETE", "/api/tasks/unknown"),
        ("POST", "/api/tasks/unknown/execute"),
        ("POST", "/api/tasks/unknown/cancel"),
        ("POST", "/api/tasks/unknown/retry"),
    ],
)
async def test_an_unknown_task_is_not_found(server: Served, method: str, path: str) -> None:
    async with server.http() as client:
        response = await client.request(method, path)

    assert (404, "TASK_NOT_FOUND") == refusal_of(response)
