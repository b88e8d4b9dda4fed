"""The documented limits, and the headers that tell of them on every answer."""

from typing import Any

import httpx2
import pytest

from settings import Settings
from tests.contract.conftest import MakeWorld
from tests.contract.facts import limits
from tests.contract.shapes import misfits
from tests.fixtures.clock import Clock


def test_the_documented_numbers_are_the_defaults() -> None:
    settings = Settings()

    assert (
        limits.REQUESTS_PER_ADDRESS,
        limits.REQUESTS_PER_USER,
        limits.REQUESTS_PER_PREMIUM_USER,
        limits.SOCKETS_PER_USER,
    ) == (
        settings.rate_limit_anonymous,
        settings.rate_limit_user,
        settings.rate_limit_premium,
        settings.websocket_connections_per_user,
    )


async def test_every_answer_tells_what_is_left(make_world: MakeWorld, clock: Clock) -> None:
    async with make_world(rate_limit_enabled=True) as world:
        answers = [
            await world.client.get("/api/tasks/"),
            await world.client.get("/api/tasks/unknown"),
            await world.client.get("/api/nothing"),
            await world.client.put("/api/tasks/", json={}),
            await world.client.post("/graphql", json={"query": "{ __typename }"}),
            await world.client.post("/graphql", json={"query": "{"}),
            await world.client.get("/openapi.json"),
            await world.client.get("/nowhere"),
        ]
        del world.client.headers["Authorization"]
        visitor = await world.client.get("/api/tasks/")

    told = [numbers_of(answer) for answer in answers]
    assert [limits.REQUESTS_PER_USER] * len(answers) == [each["X-RateLimit-Limit"] for each in told]
    left = [each["X-RateLimit-Remaining"] for each in told]
    assert list(range(left[0], left[0] - len(answers), -1)) == left
    assert limits.REQUESTS_PER_ADDRESS == numbers_of(visitor)["X-RateLimit-Limit"]
    assert {limits.WINDOW_SECONDS} == {each["X-RateLimit-Window"] for each in told}
    assert 0 < told[-1]["X-RateLimit-Reset"] - clock.now <= limits.WINDOW_SECONDS


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("path", ["/api/tasks/", "/graphql", "/openapi.json"])
async def test_what_is_too_much_is_refused_as_documented(make_world: MakeWorld, path: str) -> None:
    async with make_world(rate_limit_enabled=True, rate_limit_user=1) as world:
        await world.client.get("/api/tasks/")
        answer = await world.client.get(path)

    assert 429 == answer.status_code
    assert 0 == numbers_of(answer)["X-RateLimit-Remaining"]
    if path != "/graphql":
        assert [] == misfits(limits.EXCEEDED, answer.json())
        assert {"limit": 1, "window": limits.WINDOW_SECONDS}.items() <= details_of(answer).items()


def numbers_of(answer: httpx2.Response) -> dict[str, int]:
    """What the four headers say."""
    return {name: int(answer.headers[name]) for name in limits.HEADERS}


def details_of(answer: httpx2.Response) -> dict[str, Any]:
    details: dict[str, Any] = answer.json()["error"]["details"]
    return details
