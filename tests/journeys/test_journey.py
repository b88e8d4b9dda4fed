"""The main job, told once and lived on every surface: from signing in to what a task printed."""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.fixtures.server import PASSWORD, Served
from tests.journeys.clients import (
    Client,
    Ended,
    GraphqlEvents,
    GraphqlSocket,
    Printed,
    Rest,
    Seen,
    Socket,
)

HISTORY = ["created", "queued", "started", "completed"]
# The history of REST tells a change of status by the status that came of it.
REST_HISTORY = ["created", "pending", "running", "completed"]


@pytest.mark.parametrize(
    ("surface", "history"),
    [
        (GraphqlSocket, HISTORY),
        (GraphqlEvents, HISTORY),
        (Rest, REST_HISTORY),
        (Socket, REST_HISTORY),
    ],
)
async def test_a_task_is_executed_and_watched_live(
    server: Served, tmp_path: Path, surface: type[Client], history: list[str]
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    user = surface(server.url)
    await user.sign_in("developer", PASSWORD)
    project = await user.create_project("Website")
    task = await user.create_task(project, "Build", f"echo begun; cat {gate}; echo done >&2")

    seen: list[Seen] = []
    async with asyncio.timeout(30), aclosing(user.execute(project, task)) as execution:
        async for news in execution:
            seen.append(news)
            if news == Printed("begun\n"):
                # What it prints from here on depends on our having seen this.
                gate.write_text("on\n")

    printed = "".join(news.text for news in seen if isinstance(news, Printed))
    assert ["begun", "done", "on"] == sorted(printed.split())
    assert Ended("completed", 0) == seen[-1]
    assert history == await user.history(task)
