"""/ws on the real server: the documented messages, as they come."""

import hashlib
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.fixtures.members import ADD_MEMBER, REMOVE_MEMBER
from tests.fixtures.server import Served
from tests.rest_compat.real import (
    DURATION,
    TIME,
    Talk,
    data_of,
    new_project,
    new_task,
    talking,
)


def of_type(type_: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == type_]


async def test_a_task_is_executed_and_followed(server: Served) -> None:
    async with server.http() as client, talking(server) as talk:
        task = await new_task(client, metadata={"command": "echo Building project..."})
        project_id = task["project_id"]
        confirmed = await talk.ask("subscribe", channel="project_updates", project_id=project_id)
        await talk.say("execute_task", task_id=task["id"], priority="high")
        heard = await talk.until("task_completed", "error")

    assert {
        "type": "subscribed",
        "channel": "project_updates",
        "project_id": project_id,
    } == confirmed

    updates = of_type("task_update", heard)
    assert ["type", "data", "timestamp"] == list(updates[0])
    assert ["task_id", "status", "progress_percentage", "updated_at"] == list(updates[0]["data"])
    statuses = [update["data"]["status"] for update in updates]
    # Before them its creation may be told, where that was not settled yet.
    assert ["pending", "pending", "running", "completed"] == statuses[-4:]
    assert 100 == updates[-1]["data"]["progress_percentage"]

    (output,) = of_type("command_output", heard)
    assert ["type", "data"] == list(output)
    assert ["command_id", "stream", "content", "timestamp"] == list(output["data"])
    assert ("stdout", "Building project...\n") == (
        output["data"]["stream"],
        output["data"]["content"],
    )

    completed = heard[-1]
    assert ["type", "data", "timestamp"] == list(completed)
    assert ["task_id", "status", "completed_at", "duration", "exit_code"] == list(completed["data"])
    assert (task["id"], "completed", 0) == (
        completed["data"]["task_id"],
        completed["data"]["status"],
        completed["data"]["exit_code"],
    )
    assert DURATION.fullmatch(completed["data"]["duration"])
    assert TIME.fullmatch(completed["data"]["completed_at"])


async def test_a_task_that_fails_is_told_as_an_error(server: Served) -> None:
    async with server.http() as client, talking(server) as talk:
        task = await new_task(client, metadata={"command": "invalidcommand"})
        await talk.ask("subscribe", channel="task_updates", task_id=task["id"])
        await talk.say("execute_task", task_id=task["id"])
        error = (await talk.until("task_completed", "error"))[-1]

    assert ["type", "data", "timestamp"] == list(error)
    assert ["code", "message", "task_id", "details"] == list(error["data"])
    assert ("TASK_EXECUTION_FAILED", "Failed to execute task", task["id"]) == (
        error["data"]["code"],
        error["data"]["message"],
        error["data"]["task_id"],
    )
    assert 127 == error["data"]["details"]["exit_code"]
    assert "invalidcommand" in error["data"]["details"]["error"]


async def test_no_update_is_missed_once_a_subscription_is_confirmed(server: Served) -> None:
    async with server.http() as client, talking(server) as talk:
        project = await new_project(client)
        await talk.ask("subscribe", channel="task_updates", project_id=project["id"])
        tasks = [await new_task(client, project_id=project["id"]) for _ in range(5)]
        heard = [await talk.hear() for _ in tasks]

    assert [task["id"] for task in tasks] == [message["data"]["task_id"] for message in heard]


async def test_output_is_replayed_and_resumed(server: Served) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.1; done"
    async with server.http() as client, talking(server) as talk:
        command = data_of(await client.post("/api/commands/execute", json={"command": script}))
        channel = {"channel": "command_output", "command_id": command["command_id"]}
        await talk.ask("subscribe", **channel)
        live = await talk.until("command_completed")
        await talk.say("subscribe", **channel)
        replayed = await talk.until("command_completed")
        middle = of_type("command_output", live)[0]["data"]["cursor"]
        await talk.say("subscribe", **channel, after=middle)
        resumed = await talk.until("command_completed")

    assert of_type("command_output", live) == of_type("command_output", replayed)
    assert of_type("command_output", live)[1:] == of_type("command_output", resumed)
    printed = "".join(message["data"]["content"] for message in of_type("command_output", live))
    assert "1\n2\n3\n" == printed
    end = live[-1]["data"]
    assert ("completed", 0, 6) == (end["status"], end["exit_code"], end["total_bytes"])
    assert hashlib.sha256(printed.encode()).hexdigest() == end["sha256"]


async def test_what_one_may_not_see_is_not_followed(server: Served) -> None:
    async with server.http() as client, talking(server, "developer") as talk:
        task = await new_task(client)
        refusals = [
            await talk.ask("subscribe", channel="project_updates", project_id=task["project_id"]),
            await talk.ask("subscribe", channel="task_updates", task_id=task["id"]),
            await talk.ask("subscribe", channel="command_output", command_id="unknown"),
            await talk.ask("execute_task", task_id=task["id"]),
        ]

    assert ["PROJECT_NOT_FOUND", "TASK_NOT_FOUND", "RESOURCE_NOT_FOUND", "TASK_NOT_FOUND"] == [
        refusal["data"]["code"] for refusal in refusals
    ]


async def test_a_session_of_others_does_not_open(server: Served) -> None:
    async with server.http("developer") as client:
        session = data_of(await client.post("/api/sessions/", json={}), 201)
    async with connect(f"{server.ws_url}/ws/{session['session_id']}") as socket:
        refused = await Talk(socket).ask("authenticate", token=server.tokens["viewer"])
        await socket.wait_closed()

    assert "WEBSOCKET_CONNECTION_FAILED" == refused["data"]["code"]
    assert 4404 == socket.close_code


async def test_who_is_no_member_any_more_is_told_so_and_no_news(server: Served) -> None:
    name = await server.newcomer()
    async with server.http() as client, talking(server, name) as talk:
        task = await new_task(client, metadata={"command": "true"})
        words = {"project": task["project_id"], "user": server.user_ids[name]}
        await server.data(ADD_MEMBER, **words)
        await talk.ask("subscribe", channel="project_updates", project_id=words["project"])
        await server.data(REMOVE_MEMBER, **words)
        refused = await talk.hear()
        data_of(await client.put(f"/api/tasks/{task['id']}", json={"title": "Secret"}))
        still = await talk.ask("ping")

    assert ("error", "PROJECT_NOT_FOUND") == (refused["type"], refused["data"]["code"])
    assert "pong" == still["type"]


async def test_who_is_disabled_is_closed_out(server: Served) -> None:
    name = await server.newcomer()
    async with talking(server, name) as talk:
        await server.change_user(name, isDisabled=True)
        refused = await talk.hear()
        with pytest.raises(ConnectionClosedError) as closed:
            await talk.hear()

    assert ("error", "AUTH_ACCOUNT_DISABLED") == (refused["type"], refused["data"]["code"])
    assert closed.value.rcvd
    assert 4403 == closed.value.rcvd.code
