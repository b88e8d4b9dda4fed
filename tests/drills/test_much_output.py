"""Much output: complete and in order for everyone, and the server stays small meanwhile."""

import asyncio
import hashlib
from contextlib import aclosing
from pathlib import Path
from typing import Any

from tests.drills.aftermath import NOTHING, left_behind
from tests.drills.growth import growth_of
from tests.fixtures.program import program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import EXECUTE, OUTPUT, Graphql, GraphqlEvents, GraphqlSocket

SIZE = 20_000_000
TIMES = 10
MOST_GROWTH = 64 * 1024 * 1024
COMMAND = f"seq 1 3000000 | head -c {SIZE}"


async def test_20_mb_arrive_in_order_while_the_server_stays_small(
    database_url: str, tmp_path: Path
) -> None:
    async with program(tmp_path, database_url, OUTPUT_LIMIT_BYTES=str(2 * SIZE)) as server:
        live, late = GraphqlSocket(server.url), GraphqlEvents(server.url)
        await live.sign_in("admin", PASSWORD)
        late.token = live.token
        project = await live.create_project("Numbers")
        task = await live.create_task(project, "Count", COMMAND)
        async with asyncio.timeout(90), growth_of(server.process.pid) as growth:
            run_id = (await live.ask(EXECUTE, id=task))["executeTask"]["executionId"]
            resumed, end = await followed(live, run_id, times=TIMES)
            replayed, same_end = await followed(late, run_id)

    expected = "".join(f"{number}\n" for number in range(1, 3_000_000))[:SIZE]
    assert hashlib.sha256(expected.encode()).hexdigest() == end["sha256"]
    assert expected == resumed
    assert expected == replayed
    assert ("COMPLETED", 0, SIZE) == (end["status"], end["exitCode"], end["totalBytes"])
    assert end == same_end
    assert growth[0] < MOST_GROWTH
    assert NOTHING == await left_behind(database_url)


async def followed(user: Graphql, run_id: str, times: int = 0) -> tuple[str, dict[str, Any]]:
    """All that a run prints, and its end, though the subscription is dropped so many times."""
    pieces: list[str] = []
    cursor, size = None, 0
    for drop in range(times + 1):
        enough = SIZE * (drop + 1) / (times + 1) if drop < times else SIZE
        async with aclosing(user.subscribe(OUTPUT, id=run_id, after=cursor)) as answers:
            async for answer in answers:
                news = answer["commandOutput"]
                if news["__typename"] == "CommandFinished":
                    return "".join(pieces), news
                pieces.append(news["content"])
                cursor, size = news["cursor"], size + len(news["content"])
                if drop < times and size >= enough:
                    break
    raise AssertionError("the subscription ended without the run's end")
