"""How often one may ask: on every surface, by user or address, in memory and in Redis."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from redis.asyncio import Redis
from sqlalchemy import update
from websockets.typing import Subprotocol

from db.actors import Actor
from db.tables import users
from db.types import Role
from graph.rate_limits import MemoryCounter, RateLimits
from graph.redis_server import RedisCounter
from settings import Settings
from tests.fixtures.clock import Clock
from tests.fixtures.server import PASSWORD, Served, serving, settings_for
from tests.fixtures.valkey import running_valkey
from tests.rest_compat.real import TIME, refusal_of, talking

HEADERS = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-window"}
LIMITS = {
    "rate_limit_enabled": True,
    "rate_limit_anonymous": 5,
    "rate_limit_user": 10,
    "rate_limit_premium": 20,
    "rate_limit_login": 3,
}

pytestmark = pytest.mark.usefixtures("clock")


@pytest_asyncio.fixture(scope="module")
async def limited_server(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    """A server that counts in memory."""
    directory = tmp_path_factory.mktemp("limited")
    url = f"sqlite:///{shutil.copy(sqlite_template, directory / 'test.db')}"
    async with serving(settings_for(url, directory, **LIMITS)) as served:
        yield served


@pytest.fixture
def limited(limited_server: Served) -> Served:
    """A server that has counted nothing yet."""
    services = limited_server.app.services
    services.limits = RateLimits(services.settings, MemoryCounter())
    return limited_server


def limit_of(response: httpx2.Response) -> tuple[int, int]:
    """The limit, and what remains of it."""
    assert HEADERS == {name for name in response.headers if name.startswith("x-ratelimit")}
    return (
        int(response.headers["x-ratelimit-limit"]),
        int(response.headers["x-ratelimit-remaining"]),
    )


async def login(client: httpx2.AsyncClient, username: str) -> httpx2.Response:
    return await client.post(
        "/api/auth/login", json={"username": username, "password": "not the password"}
    )


async def test_the_headers_tell_how_many_more_may_come(limited: Served, clock: Clock) -> None:
    async with limited.http(None) as client:
        response = await client.get("/api/health/")

    assert (5, 4) == limit_of(response)
    assert "60" == response.headers["x-ratelimit-window"]
    assert clock.now + 30 == int(response.headers["x-ratelimit-reset"])


async def test_a_new_minute_begins_anew(limited: Served, clock: Clock) -> None:
    async with limited.http(None) as client:
        statuses = [(await client.get("/api/health/")).status_code for _ in range(6)]
        clock.now += 30
        response = await client.get("/api/health/")

    assert [200] * 5 + [429] == statuses
    assert (5, 4) == limit_of(response)


async def test_every_surface_counts_the_same_and_says_so(limited: Served) -> None:
    query = {"query": "{ health { status } }"}
    async with limited.http("developer") as client:
        responses = [
            await client.get("/api/projects/"),
            await client.post("/graphql", json=query),
            await client.get("/api/nothing/here"),
            await client.delete("/api/projects/"),
            await client.post("/api/projects/", content=b"{"),
            await client.post("/graphql", content=b"{"),
            await client.get("/nothing"),
            await client.get("/openapi.json"),
            await client.get("/graphql", headers={"accept": "text/html"}),
        ]

    assert [200, 200, 404, 405, 400, 415, 404, 200, 200] == [
        response.status_code for response in responses
    ]
    assert [(10, left) for left in range(9, 0, -1)] == [
        limit_of(response) for response in responses
    ]


async def test_too_many_requests_are_refused_as_documented(limited: Served) -> None:
    async with limited.http(None) as client:
        for _ in range(5):
            assert 200 == (await client.get("/api/health/")).status_code
        response = await client.get("/api/health/")

    assert (429, "RATE_LIMIT_EXCEEDED") == refusal_of(response)
    assert (5, 0) == limit_of(response)
    assert "30" == response.headers["retry-after"]
    error = response.json()["error"]
    assert "Too many requests. Please try again later." == error["message"]
    assert {"limit": 5, "window": 60, "reset_at": error["details"]["reset_at"]} == error["details"]
    assert TIME.fullmatch(error["details"]["reset_at"])


async def test_each_surface_refuses_in_its_own_words(limited: Served) -> None:
    query = {"query": "{ health { status } }"}
    async with limited.http(None) as client:
        for _ in range(5):
            await client.get("/api/health/")
        graphql = await client.post("/graphql", json=query)
        page = await client.get("/graphql", headers={"accept": "text/html"})
        asset = await client.get("/docs")

    assert (429, 429, 429) == (graphql.status_code, page.status_code, asset.status_code)
    (error,) = graphql.json()["errors"]
    assert "RATE_LIMIT_EXCEEDED" == error["extensions"]["code"]
    assert 5 == error["extensions"]["details"]["limit"]
    assert "RATE_LIMIT_EXCEEDED" == asset.json()["error"]["code"]
    assert (5, 0) == limit_of(graphql) == limit_of(asset)


async def test_users_have_limits_of_their_own(limited: Served) -> None:
    async with limited.http("developer") as one, limited.http("viewer") as other:
        limits = [
            limit_of(await one.get("/api/projects/")),
            limit_of(await other.get("/api/projects/")),
            limit_of(await one.get("/api/projects/")),
        ]

    assert [(10, 9), (10, 9), (10, 8)] == limits


async def test_premium_users_may_ask_more_often(limited: Served) -> None:
    await limited.app.services.database.write(
        lambda tx: tx.execute(
            update(users).where(users.c.username == "viewer").values(is_premium=True)
        )
    )
    limited.app.services.gate.forget()
    async with limited.http("viewer") as client:
        response = await client.get("/api/projects/")

    assert (20, 19) == limit_of(response)


async def test_a_bad_token_counts_by_its_address(limited: Served) -> None:
    async with limited.http(None) as client:
        client.headers["authorization"] = "Bearer guessed"
        statuses = [(await client.get("/api/projects/")).status_code for _ in range(6)]

    assert [401] * 5 + [429] == statuses


async def test_attempts_to_sign_in_are_bounded_by_user(limited: Served) -> None:
    async with limited.http("admin") as client:
        refused = [await login(client, "developer") for _ in range(4)]
        other = await login(client, "viewer")

    assert [401, 401, 401, 429] == [response.status_code for response in refused]
    assert 3 == refused[3].json()["error"]["details"]["limit"]
    assert 401 == other.status_code


async def test_guesses_at_ones_own_password_are_attempts_to_sign_in(limited: Served) -> None:
    """Whoever has got hold of a token could find the password by it."""
    guess = """mutation {
        changePassword(currentPassword: "a guess", newPassword: "battery staple") { accessToken }
    }"""
    refused = [await limited.graphql(guess, "developer") for _ in range(4)]

    assert ["VALIDATION_ERROR"] * 3 + ["RATE_LIMIT_EXCEEDED"] == [
        answer["errors"][0]["extensions"]["code"] for answer in refused
    ]


async def test_nothing_is_said_where_nothing_is_limited(sqlite_url: str, tmp_path: Path) -> None:
    settings = settings_for(sqlite_url, tmp_path, **LIMITS | {"rate_limit_enabled": False})
    async with serving(settings) as server, server.http(None) as client:
        responses = [await client.get("/api/health/") for _ in range(7)]
        attempts = [await login(client, "developer") for _ in range(4)]

    assert {200} == {response.status_code for response in responses}
    assert {401} == {response.status_code for response in attempts}
    assert not HEADERS & responses[0].headers.keys()


async def test_a_forwarded_address_is_believed_only_of_a_trusted_proxy(
    sqlite_url: str, tmp_path: Path
) -> None:
    for proxies, remains in (["10.0.0.0/8"], 3), (["127.0.0.0/8"], 4):
        settings = settings_for(sqlite_url, tmp_path, trusted_proxies=proxies, **LIMITS)
        async with serving(settings) as server, server.http(None) as client:
            await client.get("/api/health/", headers={"x-forwarded-for": "192.0.2.1"})
            response = await client.get("/api/health/", headers={"x-forwarded-for": "192.0.2.2"})

        assert (5, remains) == limit_of(response), proxies


async def test_messages_of_a_socket_count_as_well(limited: Served) -> None:
    async with talking(limited, "developer") as talk:
        answers = [await talk.ask("unsubscribe", channel="task_updates") for _ in range(10)]
        pong = await talk.ask("ping")

    refused = [answer for answer in answers if answer["type"] == "error"]
    assert "RATE_LIMIT_EXCEEDED" == refused[0]["data"]["code"]
    # One was spent on the session.
    assert 1 == len(refused)
    assert "pong" == pong["type"]


async def test_operations_on_a_graphql_socket_count_as_well(limited: Served) -> None:
    transport = WebsocketsTransport(
        f"{limited.ws_url}/graphql",
        init_payload={"Authorization": f"Bearer {limited.tokens['developer']}"},
        subprotocols=[Subprotocol("graphql-transport-ws")],
    )
    async with Client(transport=transport) as client:
        for _ in range(10):
            await client.execute(gql("{ viewer { id } }"))
        with pytest.raises(TransportQueryError) as refused:
            await client.execute(gql("{ viewer { id } }"))

    assert "RATE_LIMIT_EXCEEDED" in str(refused.value)


async def test_two_servers_share_their_counts_in_redis(
    sqlite_url: str, tmp_path: Path, redis_url: str
) -> None:
    settings = settings_for(sqlite_url, tmp_path, redis_url=redis_url, **LIMITS)
    async with (
        serving(settings) as one,
        serving(settings) as two,
        one.http("developer") as client,
        two.http("developer") as other,
    ):
        limits = [
            limit_of(await client.get("/api/projects/")),
            limit_of(await other.get("/api/projects/")),
            limit_of(await client.post("/graphql", json={"query": "{ viewer { id } }"})),
        ]

    assert [(10, 9), (10, 8), (10, 7)] == limits


async def test_without_redis_each_server_counts_for_itself(tmp_path: Path) -> None:
    limits = RateLimits(Settings(rate_limit_user=2), MemoryCounter())
    actor = Actor("1", "somebody", Role.DEVELOPER)
    with running_valkey(tmp_path) as url:
        redis: Redis = Redis.from_url(url)
        limits = RateLimits(Settings(rate_limit_user=2), RedisCounter(redis))
        first = await limits.spend(actor, "")
    spent = [await limits.spend(actor, "") for _ in range(3)]
    await redis.aclose()

    assert first
    assert 1 == first.used
    assert [False, False, True] == [each.is_exceeded for each in spent if each]


async def test_exactly_as_many_as_may_be_come_in_at_once(redis_url: str) -> None:
    redis: Redis = Redis.from_url(redis_url)
    for counter in (MemoryCounter(), RedisCounter(redis)):
        limits = RateLimits(Settings(rate_limit_anonymous=5), counter)
        spent = await asyncio.gather(*(limits.spend(None, "192.0.2.1") for _ in range(20)))

        assert 5 == sum(not each.is_exceeded for each in spent if each)
    await redis.aclose()


async def test_what_redis_keeps_goes_away_by_itself(redis_url: str) -> None:
    redis: Redis = Redis.from_url(redis_url)
    await RateLimits(Settings(), RedisCounter(redis)).spend(None, "192.0.2.1")
    (key,) = await redis.keys("*")
    seconds = await redis.ttl(key)
    await redis.aclose()

    assert 60 < seconds <= 120


@pytest.mark.parametrize(
    ("one", "other", "is_shared"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
async def test_addresses_of_one_ipv6_network_share_a_limit(
    one: str, other: str, is_shared: bool
) -> None:
    limits = RateLimits(Settings(), MemoryCounter())
    await limits.spend(None, one)
    spent: Any = await limits.spend(None, other)

    assert (2 if is_shared else 1) == spent.used


async def test_signing_in_works_within_the_limit(limited: Served) -> None:
    words = {"username": "developer", "password": PASSWORD}
    async with limited.http(None) as client:
        response = await client.post("/api/auth/login", json=words)

    assert 200 == response.status_code
