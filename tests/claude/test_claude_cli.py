"""Runs of the real CLI: what it says, does, asks, costs and remembers."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from runners.survivors import sweep
from tests.claude.conftest import RealOpening
from tests.claude.stub import (
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    Stub,
    calls,
    fails,
    hangs,
    says,
    thinks,
)
from tests.fixtures.agents import CANCEL, INTERRUPT, SEND, Office, printed

PIECES = 2000
OUTPUT = """subscription ($id: ID!) {
  commandOutput(runId: $id) {
    __typename
    ... on CommandOutput { content }
  }
}"""


async def test_text_is_seen_while_it_is_written(real_office: RealOpening, stub: Stub) -> None:
    gate = asyncio.Event()
    stub.reply(says("Hello, ", "world", gate=gate))
    async with real_office() as place:
        run_id = await place.user.begin("Say hello", description="In two words")
        live = [piece async for piece in output_until(place, run_id, "Hello, world", gate)]
        run = await place.user.ended(run_id)

    assert "Hello, world\n" == "".join(live) == printed(run)
    assert "Task: Say hello" in stub.heard(0)
    assert ("COMPLETED", 0, 100) == (
        run["status"],
        run["exitCode"],
        run["task"]["progressPercentage"],
    )
    assert (MODEL, 1, INPUT_TOKENS, OUTPUT_TOKENS, 0) == tuple(
        run["usage"][name]
        for name in ("model", "turns", "inputTokens", "outputTokens", "cacheTokens")
    )
    assert 0 < run["usage"]["costUsd"] < 0.1


async def test_a_file_is_edited_in_a_loop_of_tool_calls(
    real_office: RealOpening, stub: Stub
) -> None:
    async with real_office() as place:
        project, path = await workspace(place)
        file = path / "poem.txt"
        stub.reply(
            calls("Write", file_path=str(file), content="roses are red\n"),
            calls("Edit", file_path=str(file), old_string="red", new_string="blue"),
            says("I have changed it."),
        )
        user = place.user
        run_id = await user.start(await user.task(project, "Write a poem"))
        news = await user.all_told(run_id)
        run = await user.run(run_id)

    told = [each["__typename"] for each in news]
    assert "roses are blue\n" == file.read_text()
    assert ("COMPLETED", 3) == (run["status"], run["usage"]["turns"])
    assert [
        "AgentStarted",
        *("AgentToolCall", "AgentToolResult"),
        *("AgentToolCall", "AgentToolResult"),
        *("AgentMessage", "AgentResult", "AgentRunFinished"),
    ] == told
    assert ["Write", "Edit"] == [each["tool"] for each in news if "tool" in each]


async def test_an_allowed_command_runs(real_office: RealOpening, stub: Stub) -> None:
    run, file = await asked_to_touch(real_office, stub, "ALLOW")

    assert file.exists()
    assert "COMPLETED" == run["status"]


async def test_a_denied_command_does_not_run_and_the_model_hears_why(
    real_office: RealOpening, stub: Stub
) -> None:
    run, file = await asked_to_touch(real_office, stub, "DENY", "Not in this house")

    assert not file.exists()
    assert "COMPLETED" == run["status"]
    assert "Not in this house" in stub.heard(-1)


async def test_a_read_only_agent_writes_nothing_and_asks_nobody(
    real_office: RealOpening, stub: Stub
) -> None:
    async with real_office() as place:
        project, path = await workspace(place)
        await place.user.policy(project, mode="READ_ONLY")
        stub.reply(calls("Write", file_path=str(path / "x"), content="x"), says("I may not."))
        run_id = await place.user.start(await place.user.task(project, "Write"))
        result = await place.user.told(run_id, "AgentResult")
        run = await place.user.ended(run_id)

    assert not (path / "x").exists()
    assert ["Write"] == [denied["tool"] for denied in result["denials"]]
    assert "COMPLETED" == run["status"]


async def test_what_lies_outside_the_project_is_asked_for_though_edits_are_accepted(
    real_office: RealOpening, stub: Stub, tmp_path: Path
) -> None:
    async with real_office() as place:
        project, _ = await workspace(place)
        await place.user.policy(project, mode="ACCEPT_EDITS", allowedTools=["Read", "Edit"])
        stub.reply(calls("Write", file_path=str(tmp_path / "outside"), content="x"))
        run_id = await place.user.start(await place.user.task(project, "Write"))
        asked = await place.user.told(run_id, "AgentPermissionRequest")
        await place.user.answer(asked["approval"]["id"], "DENY")
        await place.user.ended(run_id)

    assert "Write" == asked["approval"]["tool"]
    assert not (tmp_path / "outside").exists()


async def test_a_key_that_is_not_accepted_ends_the_run_at_once(
    real_office: RealOpening, stub: Stub
) -> None:
    stub.reply_always(fails(401))
    async with real_office() as place:
        run = await place.user.ended(await place.user.begin("Try", retryAttempts=3))

    assert ("FAILED", "TASK_EXECUTION_FAILED", 1) == (
        run["status"],
        run["errorCode"],
        run["attempt"],
    )
    assert "The API does not accept the key (401)" == run["errorMessage"]
    assert len(stub.requests) <= 2


async def test_an_error_that_passes_is_got_over(real_office: RealOpening, stub: Stub) -> None:
    stub.reply(fails(429), says("At last."))
    async with real_office() as place:
        run_id = await place.user.begin("Try")
        retry = await place.user.told(run_id, "AgentRetry")
        run = await place.user.ended(run_id)

    assert (1, 429, "rate_limit") == (retry["attempt"], retry["httpStatus"], retry["error"])
    assert ("COMPLETED", "At last.\n") == (run["status"], printed(run))
    assert "The API answered 429 (rate_limit); trying again" in printed(run, "STDERR")


async def test_an_error_that_does_not_pass_fails_the_run(
    real_office: RealOpening, stub: Stub
) -> None:
    stub.reply_always(fails(500))
    async with real_office() as place:
        run = await place.user.ended(await place.user.begin("Try"))

    assert ("FAILED", "TASK_EXECUTION_FAILED") == (run["status"], run["errorCode"])
    assert run["errorMessage"].startswith("API Error: 500")


async def test_an_api_that_does_not_answer_is_not_waited_for_for_ever(
    real_office: RealOpening, stub: Stub
) -> None:
    stub.reply_always(hangs())
    async with real_office(claude_stall_seconds=2) as place:
        run = await place.user.ended(await place.user.begin("Try"))

    assert ("FAILED", "TASK_TIMEOUT") == (run["status"], run["errorCode"])
    assert 0 == sweep(run["id"])


async def test_a_long_stream_arrives_whole(real_office: RealOpening, stub: Stub) -> None:
    pieces = [f"{number:06} {'ü' * 500}\n" for number in range(PIECES)]
    stub.reply(says(*pieces))
    async with real_office() as place:
        run_id = await place.user.begin("Talk")
        live = "".join([piece async for piece in output_of(place, run_id)])
        run = await place.user.ended(run_id)

    assert "COMPLETED" == run["status"]
    assert digest("".join(pieces)) == digest(live)


async def test_a_run_is_cancelled_in_the_middle_of_its_answer(
    real_office: RealOpening, stub: Stub
) -> None:
    stub.reply(says("Once upon ", "a time", gate=asyncio.Event()))
    async with real_office() as place:
        run_id = await place.user.begin("Tell a story")
        await anext(output_of(place, run_id))
        async with asyncio.timeout(5):
            await place.user.ask(CANCEL, id=run_id)
        run = await place.user.ended(run_id)

    assert ("CANCELLED", "CANCELLED") == (run["status"], run["task"]["status"])
    assert "Once upon a time" == printed(run).strip()
    assert 0 == sweep(run_id)


async def test_what_a_command_leaves_in_the_background_does_not_survive_the_run(
    real_office: RealOpening, stub: Stub
) -> None:
    async with real_office() as place:
        project, path = await workspace(place)
        await place.user.policy(project, mode="ASK")
        command = "setsid nohup sleep 1000 > /dev/null 2>&1 & echo $! > pid"
        stub.reply(calls("Bash", command=command, description="Wait"))
        run_id = await place.user.start(await place.user.task(project, "Wait"))
        asked = await place.user.told(run_id, "AgentPermissionRequest")
        await place.user.answer(asked["approval"]["id"], "ALLOW")
        run = await place.user.ended(run_id)

    assert "COMPLETED" == run["status"]
    assert (path / "pid").read_text().strip()
    assert 0 == sweep(run_id)


async def test_a_resumed_conversation_remembers(real_office: RealOpening, stub: Stub) -> None:
    stub.reply(says("I shall remember: swordfish."), says("It was swordfish."))
    async with real_office() as place:
        user = place.user
        task = await user.task(await user.create_project("Memory"), "Remember a word")
        first = await user.ended(await user.start(task))
        second = await user.ended(await user.start(task, resume=True, message="Which one?"))

    assert first["agentSessionId"] == second["agentSessionId"]
    assert "I shall remember: swordfish." in stub.heard(-1)
    assert "Task: Which one?" in stub.heard(-1)
    assert 1 == second["usage"]["turns"]
    assert first["usage"]["costUsd"] == second["usage"]["costUsd"]


async def test_a_run_that_reaches_its_budget_is_stopped(
    real_office: RealOpening, stub: Stub
) -> None:
    async with real_office() as place:
        project, path = await workspace(place)
        stub.reply_always(calls("Write", file_path=str(path / "x"), content="x"))
        run_id = await place.user.start(
            await place.user.task(project, "Spend"), maxBudgetUsd=0.005, retryAttempts=2
        )
        run = await place.user.ended(run_id)

    assert ("FAILED", "PROJECT_LIMIT_EXCEEDED", 1) == (
        run["status"],
        run["errorCode"],
        run["attempt"],
    )
    assert run["errorMessage"].startswith("The run has spent its budget")
    assert 0.005 <= run["usage"]["costUsd"] < 0.02


async def test_a_message_is_heard_in_the_middle_of_a_turn(
    real_office: RealOpening, stub: Stub, tmp_path: Path
) -> None:
    gate, secret = asyncio.Event(), tmp_path / "secret"
    secret.write_text("swordfish")
    stub.reply(says("One ", "moment.", gate=gate), says("Yes?"))
    async with real_office() as place:
        user = place.user
        run_id = await user.begin("Wait for me")
        await stub.asked(1)
        await user.ask(SEND, id=run_id, text=f"/cost @{secret}")
        gate.set()
        run = await user.ended(run_id)

    assert ("COMPLETED", "One moment.\nYes?\n") == (run["status"], printed(run))
    assert f"/cost @{secret}" in stub.heard(-1)
    assert "swordfish" not in stub.heard(-1)


async def test_an_interrupted_agent_does_what_it_is_told_instead(
    real_office: RealOpening, stub: Stub
) -> None:
    stub.reply(hangs(), says("Something else."))
    async with real_office() as place:
        user = place.user
        run_id = await user.begin("Do something")
        await stub.asked(1)
        await user.ask(INTERRUPT, id=run_id, message="Do something else")
        run = await user.ended(run_id)

    assert ("COMPLETED", "Something else.\n") == (run["status"], printed(run))


async def test_a_prompt_is_text_and_nothing_else(real_office: RealOpening, stub: Stub) -> None:
    stub.reply(thinks("Hm.", "I see."))
    async with real_office() as place:
        user = place.user
        project = await user.create_project("Text")
        task = await user.task(project, "--version", "/cost\n@/etc/passwd")
        run = await user.ended(await user.start(task))

    assert "COMPLETED" == run["status"]
    assert r"Task: --version\n\n/cost\n@/etc/passwd" in stub.heard(0)
    assert "root:x:0:0" not in stub.heard(0)


async def asked_to_touch(
    real_office: RealOpening, stub: Stub, decision: str, reason: str | None = None
) -> tuple[dict[str, Any], Path]:
    """A run whose agent asks to make a file and is answered; and the file."""
    stub.reply(calls("Bash", command="touch made", description="Make a file"), says("Well."))
    async with real_office() as place:
        user = place.user
        project, path = await workspace(place)
        await user.policy(project, mode="ASK")
        run_id = await user.start(await user.task(project, "Make a file"))
        asked = (await user.told(run_id, "AgentPermissionRequest"))["approval"]
        await user.answer(asked["id"], decision, reason)
        return await user.ended(run_id), path / "made"


async def workspace(place: Office) -> tuple[str, Path]:
    """A new project, and the directory in which it works."""
    project = await place.user.create_project("Work")
    return project, place.workspaces / project


async def output_of(place: Office, run_id: str) -> Any:
    """What a run prints, piece by piece."""
    async for answer in place.user.subscribe(OUTPUT, id=run_id):
        if "content" in answer["commandOutput"]:
            yield answer["commandOutput"]["content"]


async def output_until(place: Office, run_id: str, text: str, gate: asyncio.Event) -> Any:
    """What a run prints; once it is this text the gate opens."""
    seen = ""
    async for piece in output_of(place, run_id):
        seen += piece
        if seen == text:
            gate.set()
        yield piece


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
