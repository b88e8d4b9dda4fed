"""/api/commands as documented: real processes."""

import psutil

from tests.fixtures.server import Served
from tests.rest_compat.real import TIME, data_of, refusal_of, talking

PRINTS_AND_WAITS = "echo begun; sleep 60"


async def test_execute_answers_with_the_real_process(server: Served) -> None:
    async with server.http() as client:
        command = data_of(
            await client.post("/api/commands/execute", json={"command": PRINTS_AND_WAITS})
        )
        line = psutil.Process(command["pid"]).cmdline()

    assert ["command_id", "status", "pid", "started_at"] == list(command)
    assert "running" == command["status"]
    assert TIME.fullmatch(command["started_at"])
    assert PRINTS_AND_WAITS in line


async def test_a_command_is_looked_at_and_cancelled(server: Served) -> None:
    async with server.http() as client, talking(server) as talk:
        started = data_of(
            await client.post("/api/commands/execute", json={"command": PRINTS_AND_WAITS})
        )
        command_id = started["command_id"]
        await talk.ask("subscribe", channel="command_output", command_id=command_id)
        await talk.until("command_output")
        running = data_of(await client.get("/api/commands/running"))
        status = data_of(await client.get(f"/api/commands/{command_id}/status"))
        cancelled = data_of(await client.post(f"/api/commands/{command_id}/cancel"))
        after = data_of(await client.get("/api/commands/running"))

    assert ["commands", "total_running"] == list(running)
    assert len(running["commands"]) == running["total_running"]
    command = next(each for each in running["commands"] if each["command_id"] == command_id)
    assert ["command_id", "command", "status", "started_at", "duration"] == list(command)
    assert "running" == command["status"]
    assert isinstance(command["duration"], float)

    assert [
        "command_id", "command", "status", "pid", "started_at", "output", "truncated", "exit_code",
    ] == list(status)  # fmt: skip
    assert (started["pid"], None, False) == (
        status["pid"],
        status["exit_code"],
        status["truncated"],
    )
    (chunk,) = status["output"]
    assert ["timestamp", "stream", "content"] == list(chunk)
    assert ("stdout", "begun\n") == (chunk["stream"], chunk["content"])

    assert ["command_id", "status", "cancelled_at", "exit_code"] == list(cancelled)
    assert ("cancelled", -15) == (cancelled["status"], cancelled["exit_code"])
    assert TIME.fullmatch(cancelled["cancelled_at"])
    assert command_id not in [each["command_id"] for each in after["commands"]]


async def test_a_command_of_others_is_not_found(server: Served) -> None:
    async with server.http() as admin, server.http("developer") as developer:
        command = data_of(await admin.post("/api/commands/execute", json={"command": "true"}))
        path = f"/api/commands/{command['command_id']}"
        looked_at = await developer.get(f"{path}/status")
        cancelled = await developer.post(f"{path}/cancel")

    assert (404, "RESOURCE_NOT_FOUND") == refusal_of(looked_at)
    assert (404, "RESOURCE_NOT_FOUND") == refusal_of(cancelled)


async def test_a_viewer_executes_nothing(server: Served) -> None:
    async with server.http("viewer") as client:
        response = await client.post("/api/commands/execute", json={"command": "true"})

    assert (403, "AUTH_INSUFFICIENT_PERMISSIONS") == refusal_of(response)
