"""Every documented message on /ws, said and heard."""

from typing import Any

import pytest

from tests.contract.facts.socket import CHANNELS, HEARD, METRICS, SAID
from tests.contract.shapes import misfits
from tests.contract.world import World
from tests.rest_compat.real import Talk, talking

REPLIES = {
    "authenticate": "authenticated",
    "execute_task": "task_update",
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "get_metrics": "performance_data",
    "ping": "pong",
}
NOTIFY = """mutation ($input: NotifyInput!) { notify(input: $input) { id } }"""


def of_type(type_: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    return next(message for message in messages if message["type"] == type_)


async def told_of(world: World, talk: Talk, task_id: str) -> list[dict[str, Any]]:
    """All that is told of a task's project while the task is executed."""
    project_id = await world.the("project_id")
    await talk.ask("subscribe", channel="project_updates", project_id=project_id)
    await talk.say("execute_task", task_id=task_id, priority="high")
    return await talk.until("task_completed", "error")


@pytest.mark.parametrize("type_", SAID)
async def test_every_message_is_answered(world: World, type_: str) -> None:
    async with talking(world.server) as talk:
        answer = await talk.ask(**await world.filled({"type_": type_} | words_of(type_)))

    assert REPLIES[type_] == answer["type"]
    if shape := HEARD.get(answer["type"]):
        assert [] == misfits(shape, answer)


def words_of(type_: str) -> dict[str, Any]:
    return {word: value for word, value in SAID[type_].items() if word != "type"}


async def test_a_ping_comes_back_with_its_timestamp(world: World) -> None:
    async with talking(world.server) as talk:
        answer = await talk.ask("ping", timestamp=1753875600000)

    assert {"type": "pong", "timestamp": 1753875600000} == answer


@pytest.mark.parametrize("channel", CHANNELS)
async def test_both_channels_tell_of_a_project(world: World, channel: str) -> None:
    project_id = await world.the("project_id")
    async with talking(world.server) as talk:
        await talk.ask("subscribe", channel=channel, project_id=project_id)
        task_id = await world.the("task_id")
        told = await talk.hear()

    assert ("task_update", task_id) == (told["type"], told["data"]["task_id"])


async def test_a_task_that_goes_well_is_told(world: World) -> None:
    task_id = await world.task_of("echo well done")
    async with talking(world.server) as talk:
        told = await told_of(world, talk, task_id)

    for type_ in ("task_update", "task_completed", "command_output"):
        assert [] == misfits(HEARD[type_], of_type(type_, told))


async def test_a_task_that_fails_is_told(world: World) -> None:
    task_id = await world.task_of("no-such-command")
    async with talking(world.server) as talk:
        error = of_type("error", await told_of(world, talk, task_id))

    assert [] == misfits(HEARD["error"], error)
    assert ("TASK_EXECUTION_FAILED", 127) == (
        error["data"]["code"],
        error["data"]["details"]["exit_code"],
    )
    assert "no-such-command" in error["data"]["details"]["error"]


@pytest.mark.parametrize("metric", METRICS)
async def test_every_metric_is_told(world: World, metric: str) -> None:
    async with talking(world.server) as talk:
        told = await talk.ask("get_metrics", metrics=[metric])

    assert [] == misfits(HEARD["performance_data"], told)
    if metric != "performance":
        assert told["data"][metric]


async def test_a_notification_is_told(world: World) -> None:
    action = {"label": "View Details", "action": "view_details", "url": "/maintenance"}
    words = {
        "level": "WARNING",
        "title": "The machine is being moved",
        "message": "It comes back in half an hour",
        "actions": [action],
        "userId": world.server.user_ids["viewer"],
    }
    async with talking(world.server, "viewer") as talk:
        await world.server.data(NOTIFY, input=words)
        told = await talk.hear()

    assert [] == misfits(HEARD["notification"], told)
    assert ("warning", [action]) == (told["data"]["level"], told["data"]["actions"])


async def test_anything_else_is_an_error_and_the_socket_stays_open(world: World) -> None:
    async with talking(world.server) as talk:
        unknown = await talk.ask("sing")
        wanting = await talk.ask("execute_task", task_id="no such task")
        pong = await talk.ask("ping")

    assert ("error", "VALIDATION_INVALID_FORMAT") == (unknown["type"], unknown["data"]["code"])
    assert ("TASK_NOT_FOUND", "no such task") == (
        wanting["data"]["code"],
        wanting["data"]["task_id"],
    )
    assert "pong" == pong["type"]
