"""A server that dies in mid-stream: whoever follows goes on at another, where they were."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import httpx2
from gql.transport.exceptions import TransportError
from websockets.exceptions import ConnectionClosed

from tests.db import queues
from tests.drills.aftermath import NOTHING, left_behind
from tests.drills.workers import workers
from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import EXECUTE, OUTPUT, Graphql, GraphqlEvents, GraphqlSocket

LINES = 3000
PATIENCE_SECONDS = 60
LOST = (httpx2.HTTPError, TransportError, ConnectionClosed, OSError)


class Follower:
    """Who follows a run's output, and what they have got of it so far."""

    def __init__(self, user: Graphql) -> None:
        self.user = user
        self.pieces: list[str] = []
        self.cursor: str | None = None
        self.lost = 0
        self.end = ""
        self.hears = asyncio.Event()

    async def follow(self, run_id: str, url: Callable[[], str]) -> None:
        while not self.end:
            self.user.url = url()
            try:
                await self._hear(run_id)
            except LOST:
                self.lost += 1
                await asyncio.sleep(0.1)

    async def _hear(self, run_id: str) -> None:
        answers = self.user.subscribe(OUTPUT, id=run_id, after=self.cursor)
        async with aclosing(answers):
            async for answer in answers:
                news = answer["commandOutput"]
                if news["__typename"] == "CommandFinished":
                    self.end = news["status"]
                    return
                self.pieces.append(news["content"])
                self.cursor = news["cursor"]
                self.hears.set()


async def test_who_follows_a_server_that_is_killed_gets_all_once_from_the_next(
    database_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    command = f"seq 1 1000; until [ -e {gate} ]; do sleep 0.02; done; seq 1001 {LINES}"
    apart = {"WORKER_CONCURRENCY": "0"}
    async with (
        queues.opened(database_url, 1),
        workers(1, tmp_path, database_url, WORKER_CONCURRENCY="1"),
        asyncio.timeout(PATIENCE_SECONDS),
        asyncio.TaskGroup() as following,
    ):
        async with program(tmp_path, database_url, **apart) as first:
            urls = [first.url]
            followers = [Follower(GraphqlSocket(first.url)), Follower(GraphqlEvents(first.url))]
            for follower in followers:
                await follower.user.sign_in("admin", PASSWORD)
            user = followers[0].user
            task = await user.create_task(await user.create_project("Long"), "Count", command)
            run_id = (await user.ask(EXECUTE, id=task))["executeTask"]["executionId"]
            ends = [
                following.create_task(follower.follow(run_id, lambda: urls[-1]))
                for follower in followers
            ]
            await asyncio.gather(*(follower.hears.wait() for follower in followers))
            await first.kill()
        gate.touch()
        async with program(tmp_path, database_url, **apart) as second:
            urls.append(second.url)
            await asyncio.gather(*ends)

    printed = "".join(f"{number}\n" for number in range(1, LINES + 1))
    assert [printed] * 2 == ["".join(follower.pieces) for follower in followers]
    assert ["COMPLETED"] * 2 == [follower.end for follower in followers]
    assert all(follower.lost for follower in followers)
    assert NOTHING == await left_behind(database_url)
