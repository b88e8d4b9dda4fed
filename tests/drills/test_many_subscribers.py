"""A thousand who follow one run: all are served to the end, and nothing is kept of them."""

import asyncio
import resource
from pathlib import Path

import httpx2
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.drills.aftermath import NOTHING, left_behind
from tests.fixtures.program import Program, program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import EXECUTE, HTTP, OUTPUT, Graphql, GraphqlEvents, GraphqlSocket

SUBSCRIBERS = 1000
FILES = 4 * SUBSCRIBERS
LINES = 20
PATIENCE_SECONDS = 120


async def test_a_thousand_subscribers_are_all_served_and_leave_nothing_behind(
    database_url: str, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, FILES), hard), hard))
    gate = tmp_path / "gate"
    command = f"until [ -e {gate} ]; do sleep 0.05; done; seq 1 {LINES}"
    bounds = {"MAX_REQUESTS_IN_FLIGHT": "2000", "WEBSOCKET_CONNECTIONS_PER_USER": "2000"}
    async with program(tmp_path, database_url, **bounds) as server:
        user = GraphqlSocket(server.url)
        await user.sign_in("admin", PASSWORD)
        task = await user.create_task(await user.create_project("Crowd"), "Speak", command)
        run_id = (await user.ask(EXECUTE, id=task))["executeTask"]["executionId"]
        crowd: list[asyncio.Task[str]] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(crowd) < SUBSCRIBERS:
                crowd += [asyncio.create_task(heard(kind(user), run_id)) for kind in KINDS]
                while connections(server) < len(crowd):
                    assert [] == [early.result() for early in crowd if early.done()]
                    await asyncio.sleep(0.01)
            gate.touch()
            texts = await asyncio.gather(*crowd)
            while connections(server) or await open_sockets(server):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)

    assert {"".join(f"{number}\n" for number in range(1, LINES + 1)) + "COMPLETED"} == set(texts)
    assert SUBSCRIBERS == len(texts)
    assert NOTHING == await left_behind(database_url)


def socket(user: Graphql) -> Graphql:
    return _like(user, GraphqlSocket(user.url))


def events(user: Graphql) -> Graphql:
    return _like(user, GraphqlEvents(user.url))


KINDS = (socket, events) * 10


async def heard(user: Graphql, run_id: str) -> str:
    """All that a subscriber gets, and the end."""
    text = ""
    async for answer in user.subscribe(OUTPUT, id=run_id):
        news = answer["commandOutput"]
        if news["__typename"] == "CommandFinished":
            return text + str(news["status"])
        text += news["content"]
    return text


def connections(server: Program) -> int:
    """How many connections of clients are open, as the kernel has it."""
    port = int(server.url.rpartition(":")[2])
    of_server = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(bool(each.raddr) and each.laddr.port == port for each in of_server)


async def open_sockets(server: Program) -> float:
    """How many WebSockets the server itself has open."""
    async with httpx2.AsyncClient(**HTTP) as http:
        answer = await http.get(f"{server.url}/metrics")
    return next(
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "websocket_connections"
    )


def _like(user: Graphql, another: Graphql) -> Graphql:
    another.token = user.token
    return another
