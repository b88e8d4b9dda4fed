"""Runs of agents, well-behaved and not: none of them is lost, stuck or left alive."""

import asyncio
import json
from pathlib import Path

import pytest
from gql.transport.exceptions import TransportQueryError

from runners import claude
from tests.fixtures.agents import CANCEL, INTERRUPT, SEND, Opening, details_of, printed
from tests.runners.witness import witness


async def test_a_task_without_a_command_is_carried_out_by_the_cli(office: Opening) -> None:
    settings = {"anthropic_api_key": "sk-secret", "claude_model": "opus"}
    async with office("obedient", **settings) as place:
        run = await place.user.ended(await place.user.begin("Say hello"))

    told = place.told()
    assert ("COMPLETED", 0, "Task: Say hello\n") == (run["status"], run["exitCode"], printed(run))
    assert ("COMPLETED", 100) == (run["task"]["status"], run["task"]["progressPercentage"])
    assert {
        "model": "claude-fake-1",
        "turns": 1,
        "inputTokens": 100,
        "outputTokens": 10,
        "cacheTokens": 5,
        "costUsd": 0.25,
    } == run["usage"]
    assert "--model=opus" in told["options"]
    assert "--permission-mode=acceptEdits" in told["options"]
    assert "sk-secret" == told["environment"]["ANTHROPIC_API_KEY"]


async def test_what_the_real_cli_has_printed_is_understood_to_its_end(office: Opening) -> None:
    async with office("replaying") as place:
        user = place.user
        run_id = await user.begin("Say it again")
        told = await user.all_told(run_id)
        run = await user.run(run_id)

    assert ("COMPLETED", None) == (run["status"], run["errorMessage"])
    assert [
        "AgentStarted",
        "AgentThought",
        "AgentToolCall",
        "AgentToolResult",
        "AgentMessage",
        "AgentResult",
        "AgentRunFinished",
    ] == [news["__typename"] for news in told]


async def test_no_secret_of_the_server_reaches_the_cli(office: Opening) -> None:
    async with office("obedient") as place:
        await place.user.ended(await place.user.begin("Look around"))

    environment = place.told()["environment"]
    assert {"DATABASE_URL", "JWT_SECRET", "REDIS_URL"}.isdisjoint(environment)
    assert "a secret for tests" not in json.dumps(environment)
    assert Path(environment["HOME"]).is_relative_to(place.workspaces.parent / "agents")


async def test_a_long_prompt_reaches_a_cli_that_prints_before_it_listens(office: Opening) -> None:
    async with office("deaf") as place:
        user = place.user
        project = await user.create_project("Long")
        task = await user.task(project, "Read this", "ä" * 100_000)

        run = await user.ended(await user.start(task))

    assert "COMPLETED" == run["status"]
    assert printed(run).endswith(f"Task: Read this\n\n{'ä' * 100_000}\n")


async def test_the_run_fails_with_127_when_there_is_no_cli(office: Opening) -> None:
    async with office("obedient", claude_command="/nowhere/claude") as place:
        run = await place.user.ended(await place.user.begin("Try", retryAttempts=3))

    assert ("FAILED", 127, "TASK_EXECUTION_FAILED", "claude CLI not found", 1) == (
        run["status"],
        run["exitCode"],
        run["errorCode"],
        run["errorMessage"],
        run["attempt"],
    )


async def test_a_cli_that_is_too_old_is_refused(office: Opening) -> None:
    async with office("old") as place:
        run = await place.user.ended(await place.user.begin("Try"))

    assert ("FAILED", "claude CLI 2.1.248 or newer is needed, not 2.1.197") == (
        run["status"],
        run["errorMessage"],
    )


async def test_a_cli_that_does_not_say_its_version_is_tried_again(office: Opening) -> None:
    """As where the machine has too much to do."""
    async with office("reluctant") as place:
        run = await place.user.ended(await place.user.begin("Try", retryAttempts=1))

    assert ("COMPLETED", 2) == (run["status"], run["attempt"])


async def test_the_last_words_of_a_cli_that_ends_without_a_result_say_why(office: Opening) -> None:
    async with office("mute") as place:
        run = await place.user.ended(await place.user.begin("Try"))

    assert ("FAILED", 1) == (run["status"], run["exitCode"])
    assert "claude ended with code 1: Error: Session ID is already in use." == run["errorMessage"]
    assert "Error: Session ID is already in use.\n" == printed(run, "STDERR")


@pytest.mark.parametrize("manner", ["obedient", "hanging", "stubborn", "asking"])
async def test_a_run_is_cancelled_however_its_cli_behaves(office: Opening, manner: str) -> None:
    async with office(manner) as place:
        user = place.user
        run_id = await user.begin("bye")
        if manner != "obedient":
            await user.told(run_id, "AgentStarted")
        await asyncio.gather(user.ask(CANCEL, id=run_id), return_exceptions=manner == "obedient")
        run = await user.ended(run_id)

    assert run["status"] in ("CANCELLED", "COMPLETED" if manner == "obedient" else "CANCELLED")
    assert run["status"] == run["task"]["status"]


async def test_a_child_in_a_session_of_its_own_does_not_survive_its_run(office: Opening) -> None:
    async with office("forking") as place:
        user = place.user
        project = await user.create_project("Forks")
        directory = place.workspaces / project
        directory.mkdir(parents=True)
        async with witness(directory) as observer:
            run_id = await user.start(await user.task(project, "Fork"))
            await observer.up()
            await user.ask(CANCEL, id=run_id)

            assert await observer.all_gone()


async def test_a_silent_run_counts_as_stuck(office: Opening) -> None:
    async with office("hanging", claude_stall_seconds=0.5) as place:
        run = await place.user.ended(await place.user.begin("Hang"))

    assert ("FAILED", "TASK_TIMEOUT") == (run["status"], run["errorCode"])


async def test_a_run_that_does_not_end_after_its_result_is_ended(
    office: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude, "WAIT_FOR_EXIT_SECONDS", 0.5)
    async with office("lingering") as place:
        run = await place.user.ended(await place.user.begin("Stay"))

    assert ("FAILED", "TASK_TIMEOUT", 0.25) == (
        run["status"],
        run["errorCode"],
        run["usage"]["costUsd"],
    )


async def test_a_run_that_takes_too_long_is_stopped(office: Opening) -> None:
    async with office("hanging") as place:
        run = await place.user.ended(await place.user.begin("Hang", timeout=1))

    assert ("FAILED", "TASK_TIMEOUT", "Took longer than 1 s") == (
        run["status"],
        run["errorCode"],
        run["errorMessage"],
    )


async def test_a_failed_run_is_tried_again_in_the_same_conversation(office: Opening) -> None:
    async with office("failing") as place:
        run = await place.user.ended(await place.user.begin("Try", retryAttempts=1))

    assert ("FAILED", "API Error: 529", 2) == (run["status"], run["errorMessage"], run["attempt"])
    assert f"--resume={run['agentSessionId']}" in place.told()["options"]
    assert 0.5 == run["usage"]["costUsd"]


async def test_a_task_is_resumed_in_the_conversation_that_it_had(office: Opening) -> None:
    async with office("obedient") as place:
        user = place.user
        task = await user.task(await user.create_project("Talks"), "Say hello")
        first = await user.ended(await user.start(task))
        second = await user.ended(await user.start(task, resume=True, message="Say it again"))

    assert first["agentSessionId"] == second["agentSessionId"]
    assert f"--resume={first['agentSessionId']}" in place.told()["options"]
    assert "Task: Say it again\n" == printed(second)


async def test_a_conversation_that_is_lost_is_begun_anew(office: Opening) -> None:
    async with office("forgetful") as place:
        user = place.user
        task = await user.task(await user.create_project("Talks"), "Say hello")
        first = await user.ended(await user.start(task))
        second = await user.ended(await user.start(task, resume=True, message="Again"))

    assert "COMPLETED" == second["status"]
    assert first["agentSessionId"] != second["agentSessionId"]
    assert "Task: Say hello\n\nAgain\n" == printed(second)


async def test_a_task_without_a_conversation_can_not_be_resumed(office: Opening) -> None:
    async with office("obedient") as place:
        with pytest.raises(TransportQueryError, match="Invalid input") as refusal:
            await place.user.begin("Say hello", resume=True)

    assert "options.resume" == details_of(refusal.value)["field"]


async def test_messages_are_heard_in_order_while_the_run_goes_on(office: Opening) -> None:
    async with office("listening") as place:
        user = place.user
        run_id = await user.begin("Listen")
        await user.told(run_id, "AgentStarted")
        for text in ("one", "/two @three", "bye"):
            await user.ask(SEND, id=run_id, text=text)
        news = await user.all_told(run_id)
        run = await user.run(run_id)

    said = [(each["role"], each["text"]) for each in news if each["__typename"] == "AgentMessage"]
    assert "COMPLETED" == run["status"]
    assert "Task: Listen\none\n/two @three\nbye\n" == printed(run)
    assert ["one", "/two @three", "bye"] == [text for role, text in said if role == "user"]


async def test_a_run_that_has_ended_hears_nothing_more(office: Opening) -> None:
    async with office("obedient") as place:
        run = await place.user.ended(await place.user.begin("Say hello"))
        with pytest.raises(TransportQueryError) as refusal:
            await place.user.ask(SEND, id=run["id"], text="More")

    assert "The run has come to its end" == details_of(refusal.value)["issue"]


async def test_an_interrupted_agent_goes_on_with_what_it_is_told(office: Opening) -> None:
    async with office("listening") as place:
        user = place.user
        run_id = await user.begin("Listen")
        await user.told(run_id, "AgentMessage")
        await user.ask(INTERRUPT, id=run_id, message="bye")
        run = await user.ended(run_id)

    assert ("COMPLETED", "Task: Listen\nbye\n") == (run["status"], printed(run))


async def test_an_interrupted_agent_that_is_told_nothing_ends(office: Opening) -> None:
    async with office("listening") as place:
        user = place.user
        run_id = await user.begin("Listen")
        await user.told(run_id, "AgentMessage")
        await user.ask(INTERRUPT, id=run_id)
        run = await user.ended(run_id)

    assert ("CANCELLED", "TASK_CANCELLED", "Interrupted", 0.25) == (
        run["status"],
        run["errorCode"],
        run["errorMessage"],
        run["usage"]["costUsd"],
    )


async def test_events_are_replayed_behind_a_cursor(office: Opening) -> None:
    async with office("obedient") as place:
        user = place.user
        run_id = await user.begin("Say hello")
        live = await user.all_told(run_id)
        again = await user.all_told(run_id)
        rest = [news async for news in user.news(run_id, after=live[1]["cursor"])]

    assert ["AgentStarted", "AgentMessage", "AgentResult", "AgentRunFinished"] == [
        news["__typename"] for news in live
    ]
    assert live == again
    assert live[2:] == rest
