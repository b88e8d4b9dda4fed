"""/api/commands as documented: real processes."""

import httpx2
import psutil
import pytest

from tests.fixtures.server import Served
from tests.rest_compat.real import TIME, Talk, data_of, refusal_of, talking

PRINTS_AND_WAITS = "echo begun; sleep 60"


async def test_execute_answers_with_the_real_process(server: Served) -> None:
    async with server.http() as client, talking(server) as talk:
        command = data_of(
            await client.post("/api/commands/execute", json={"command": PRINTS_AND_WAITS})
        )
        await talk.ask("subscribe", channel="command_output", command_id=command["command_id"])
        await talk.until("command_output")
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


async def test_history_is_newest_first_by_offset(server: Served) -> None:
    async with server.http("developer") as client, talking(server, "developer") as talk:
        for number in range(3):
            await finished(client, talk, f"exit {number}")
        history = data_of(await client.get("/api/commands/history?limit=2&offset=0"))
        rest = data_of(await client.get("/api/commands/history?limit=2&offset=2"))

    assert ["commands", "total", "limit", "offset"] == list(history)
    assert (3, 2, 0) == (history["total"], history["limit"], history["offset"])
    newest, second = history["commands"]
    assert [
        "command_id", "command", "status", "started_at", "completed_at", "exit_code", "duration",
    ] == list(newest)  # fmt: skip
    assert [("exit 2", "failed", 2), ("exit 1", "failed", 1)] == [
        (each["command"], each["status"], each["exit_code"]) for each in (newest, second)
    ]
    assert TIME.fullmatch(newest["started_at"])
    assert TIME.fullmatch(newest["completed_at"])
    assert isinstance(newest["duration"], float)
    assert [("exit 0", "completed")] == [
        (each["command"], each["status"]) for each in rest["commands"]
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("offset=-1", "offset"), ("offset=x", "offset")],
)
async def test_history_refuses_what_is_out_of_bounds(
    server: Served, query: str, field: str
) -> None:
    async with server.http() as client:
        response = await client.get(f"/api/commands/history?{query}")

    assert 422 == response.status_code
    assert field == response.json()["error"]["details"]["field"]


async def test_suggestions_know_the_catalogue_and_the_callers_own_successes(
    server: Served,
) -> None:
    async with server.http() as client, talking(server) as talk:
        await finished(client, talk, "true git gc")
        await finished(client, talk, "false git gc")
        listed = data_of(await client.get("/api/commands/suggestions?context=git&prefix=git%20"))
        own = data_of(await client.get("/api/commands/suggestions?prefix=git%20gc"))
    async with server.http("viewer") as client:
        others = data_of(await client.get("/api/commands/suggestions?prefix=git%20gc"))

    assert ["suggestions"] == list(listed)
    assert 10 == len(listed["suggestions"])
    assert {
        "command": "git status",
        "description": "Show the working tree status",
        "category": "git",
    } == listed["suggestions"][0]
    assert {
        "suggestions": [
            {"command": "true git gc", "description": "Run by you once", "category": "history"}
        ]
    } == own
    assert {"suggestions": []} == others


async def test_validate_answers_in_the_documented_words(server: Served) -> None:
    async with server.http("viewer") as client:
        path = "/api/commands/validate"
        ruinous = data_of(
            await client.post(path, json={"command": "rm -rf /", "check_safety": True})
        )
        harmless = data_of(await client.post(path, json={"command": "ls -la"}))
        unchecked = data_of(
            await client.post(path, json={"command": "rm -rf /", "check_safety": False})
        )
        blank = await client.post(path, json={"command": " "})

    assert {
        "valid": False,
        "safe": False,
        "warnings": [
            "This command is potentially destructive",
            "Command attempts to delete system files",
        ],
        "suggestions": [
            "Use 'rm -rf ./directory' to delete specific directory",
            "Use 'ls' to list files before deletion",
        ],
    } == ruinous
    assert {"valid": True, "safe": True, "warnings": [], "suggestions": []} == harmless
    assert (True, None) == (unchecked["valid"], unchecked["safe"])
    assert (422, "VALIDATION_REQUIRED_FIELD") == refusal_of(blank)


async def finished(client: httpx2.AsyncClient, talk: Talk, command: str) -> None:
    """Execute a command, and wait for its end."""
    started = data_of(await client.post("/api/commands/execute", json={"command": command}))
    await talk.say("subscribe", channel="command_output", command_id=started["command_id"])
    await talk.until("command_completed")
