"""/api/tasks/bulk and what tasks wait for, as documented."""

from typing import Any

import pytest

from tests.fixtures.server import Served
from tests.rest_compat.real import TIME, UUID, data_of, new_project, new_task, refusal_of


async def test_bulk_answers_as_documented(server: Served) -> None:
    async with server.http() as client:
        ids = [(await new_task(client))["id"] for _ in range(2)]
        body = {
            "operation": "update_status",
            "task_ids": [ids[0], "unknown", ids[1]],
            "data": {"status": "completed", "progress_percentage": 100},
        }
        result = data_of(await client.post("/api/tasks/bulk", json=body))
        tasks = [data_of(await client.get(f"/api/tasks/{id_}")) for id_ in ids]

    assert {
        "operation": "update_status",
        "affected_count": 2,
        "successful": ids,
        "failed": ["unknown"],
        "errors": [
            {
                "task_id": "unknown",
                "code": "TASK_NOT_FOUND",
                "message": "The task does not exist.",
                "details": {"task_id": "unknown"},
            }
        ],
    } == result
    assert [("completed", 100)] * 2 == [
        (task["status"], task["progress_percentage"]) for task in tasks
    ]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "VALIDATION_REQUIRED_FIELD", "operation"),
        ({"operation": "sing", "task_ids": []}, "VALIDATION_INVALID_FORMAT", "operation"),
        ({"operation": "delete"}, "VALIDATION_REQUIRED_FIELD", "task_ids"),
        ({"operation": "assign", "task_ids": ["x"]}, "VALIDATION_REQUIRED_FIELD",
         "data.assigned_to"),
        ({"operation": "delete", "task_ids": ["x"] * 3 + [str(n) for n in range(500)]},
         "VALIDATION_ERROR", "task_ids"),
        ({"operation": "set_priority", "task_ids": ["x"], "data": {"priority": "high"}},
         "VALIDATION_INVALID_FORMAT", "data.priority"),
    ],
)  # fmt: skip
async def test_a_wrong_bulk_request_names_its_field(
    server: Served, body: dict[str, Any], code: str, field: str
) -> None:
    async with server.http() as client:
        response = await client.post("/api/tasks/bulk", json=body)

    assert (422, code) == refusal_of(response)
    assert field == response.json()["error"]["details"]["field"]


async def test_a_graphql_client_gets_the_changed_tasks(server: Served) -> None:
    async with server.http() as client:
        task = await new_task(client)
    mutation = """
        mutation ($ids: [ID!]!) {
          bulkTasks(operation: ADD_TAGS, taskIds: $ids, data: {tags: ["a"]}) {
            affectedCount tasks { id tags }
          }
        }
    """
    result = await server.data(mutation, ids=[task["id"], "unknown"])

    assert {"affectedCount": 1, "tasks": [{"id": task["id"], "tags": ["a"]}]} == result["bulkTasks"]


async def test_a_dependency_is_added_shown_and_removed(server: Served) -> None:
    async with server.http() as client:
        project_id = (await new_project(client))["id"]
        first, second = [
            await new_task(client, project_id=project_id, title=title) for title in "ab"
        ]
        path = f"/api/tasks/{second['id']}"
        body = {"depends_on_task_id": first["id"]}
        added = data_of(await client.post(f"{path}/dependencies", json=body), 201)
        shown = data_of(await client.get(path))["dependencies"]
        again = await client.post(f"{path}/dependencies", json=body)
        waiting = await client.post(f"{path}/execute")
        removed = data_of(await client.delete(f"{path}/dependencies/{added['id']}"))
        gone = data_of(await client.get(path))["dependencies"]
        unknown = await client.delete(f"{path}/dependencies/{added['id']}")

    assert UUID.fullmatch(added.pop("id"))
    assert {
        "depends_on_task_id": first["id"],
        "dependency_type": "blocks",
        "task": {"title": "a", "status": "pending"},
    } == added
    assert [added | {"id": shown[0]["id"]}] == shown
    assert (409, "RESOURCE_ALREADY_EXISTS") == refusal_of(again)
    assert (409, "TASK_DEPENDENCY_NOT_MET") == refusal_of(waiting)
    assert ["message", "deleted_at"] == list(removed)
    assert TIME.fullmatch(removed["deleted_at"])
    assert [] == gone
    assert (404, "RESOURCE_NOT_FOUND") == refusal_of(unknown)


async def test_a_circle_of_dependencies_is_refused(server: Served) -> None:
    async with server.http() as client:
        task = await new_task(client)
        path = f"/api/tasks/{task['id']}/dependencies"
        itself = await client.post(path, json={"depends_on_task_id": task["id"]})
        nothing = await client.post(path, json={})
        kind = await client.post(
            path, json={"depends_on_task_id": task["id"], "dependency_type": "likes"}
        )

    assert [
        (422, "VALIDATION_ERROR"),
        (422, "VALIDATION_REQUIRED_FIELD"),
        (422, "VALIDATION_INVALID_FORMAT"),
    ] == [refusal_of(response) for response in (itself, nothing, kind)]
