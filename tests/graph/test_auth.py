"""Tokens: who they stand for, until when, and what is refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from sqlalchemy import update

from db.errors import DatabaseUnavailable, Problem
from db.tables import users
from db.types import Role
from graph import auth
from graph.auth import CLAIMS, Caller, Gate
from tests.fixtures.server import PASSWORD, QUICK_HASHER, Served, serving, settings_for


@pytest.fixture
def gate(shared_server: Served) -> Gate:
    return shared_server.app.services.gate


@pytest.fixture
def key(shared_server: Served) -> str:
    return shared_server.app.services.settings.signing_key()


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def refusal(gate: Gate, token: str) -> str:
    with pytest.raises(Problem) as refused:
        await gate.identify(token)
    return refused.value.code


async def test_a_token_stands_for_who_signed_in(gate: Gate, shared_server: Served) -> None:
    grant = await gate.login("developer", PASSWORD)
    identity = await gate.identify(grant.access_token)

    assert "developer" == identity.actor.username
    assert shared_server.user_ids["developer"] == identity.actor.id == grant.user_id
    assert 3600 == grant.expires_in
    assert set(CLAIMS) == set(claims_of(grant.access_token))


@pytest.mark.parametrize(
    ("username", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("", "")]
)
async def test_who_does_not_know_the_password_learns_nothing(
    gate: Gate, username: str, password: str
) -> None:
    with pytest.raises(Problem) as refused:
        await gate.login(username, password)

    assert ("AUTH_TOKEN_INVALID", "The user name or the password is wrong.") == (
        refused.value.code,
        refused.value.message,
    )


@pytest.mark.parametrize("claim", CLAIMS)
async def test_a_token_without_a_claim_is_refused(gate: Gate, key: str, claim: str) -> None:
    claims = claims_of((await gate.login("admin", PASSWORD)).access_token)
    del claims[claim]

    assert "AUTH_TOKEN_INVALID" == await refusal(gate, jwt.encode(claims, key, "HS256"))


@pytest.mark.parametrize(
    ("change", "signed"),
    [
        ({"typ": "refresh"}, {}),
        ({"sub": "nobody"}, {}),
        ({"tv": 2}, {}),
        ({"exp": 0}, {}),
        ({"exp": "soon"}, {}),
        ({"nbf": datetime(2999, 1, 1, tzinfo=UTC)}, {}),
        ({}, {"key": "another key of at least 32 bytes, for sure"}),
        ({}, {"key": "", "algorithm": "none"}),
    ],
    ids=repr,
)
async def test_a_token_that_we_did_not_give_is_refused(
    gate: Gate, key: str, change: dict[str, Any], signed: dict[str, Any]
) -> None:
    claims = claims_of((await gate.login("admin", PASSWORD)).access_token)
    token = jwt.encode(claims | change, **({"key": key, "algorithm": "HS256"} | signed))

    assert "AUTH_TOKEN_INVALID" == await refusal(gate, token)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_token_that_was_changed_is_refused(gate: Gate, place: int) -> None:
    parts = (await gate.login("admin", PASSWORD)).access_token.split(".")
    parts[place] = parts[place][:5] + ("A" if parts[place][5] != "A" else "B") + parts[place][6:]

    assert "AUTH_TOKEN_INVALID" == await refusal(gate, ".".join(parts))


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "é.é.é", "..", "\ud800"])
async def test_what_is_no_token_is_refused(gate: Gate, token: str) -> None:
    assert "AUTH_TOKEN_INVALID" == await refusal(gate, token)


async def test_a_token_that_has_expired_is_good_for_another_one_for_a_while(
    gate: Gate, key: str, shared_server: Served
) -> None:
    claims = claims_of((await gate.login("admin", PASSWORD)).access_token)
    grace = timedelta(seconds=shared_server.app.services.settings.refresh_grace_seconds)
    minute = timedelta(minutes=1)
    lately, long_ago = (
        jwt.encode(claims | {"exp": datetime.now(UTC) - past}, key, "HS256")
        for past in (minute, grace + minute)
    )
    fresh = await gate.refresh(lately)

    assert "AUTH_TOKEN_INVALID" == await refusal(gate, lately)
    assert "admin" == (await gate.identify(fresh.access_token)).actor.username
    with pytest.raises(Problem, match="expired"):
        await gate.refresh(long_ago)


async def test_a_token_that_is_remembered_still_expires(gate: Gate, key: str) -> None:
    claims = claims_of((await gate.login("admin", PASSWORD)).access_token)
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    token = jwt.encode(claims | {"exp": soon}, key, "HS256")
    identity = await gate.identify(token)
    while datetime.now(UTC) < identity.expires_at:
        await gate.passwords.verify("", QUICK_HASHER.hash(""))

    assert "AUTH_TOKEN_INVALID" == await refusal(gate, token)


async def test_what_was_read_before_a_change_is_not_gone_by(
    shared_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, name = shared_server.app.services.gate, await shared_server.newcomer(Role.ADMIN)
    read = shared_server.app.services.database.first

    async def overtaken(*asked: Any) -> Any:
        found = await read(*asked)
        monkeypatch.undo()
        await shared_server.change_user(name, role="VIEWER")
        return found

    monkeypatch.setattr(shared_server.app.services.database, "first", overtaken)
    identity = await gate.identify(shared_server.tokens[name])

    assert Role.VIEWER == identity.actor.role


async def test_who_stays_is_kept_current_until_they_are_refused(shared_server: Served) -> None:
    gate, name = shared_server.app.services.gate, await shared_server.newcomer(Role.ADMIN)
    caller = Caller(token=shared_server.tokens[name])
    staying = asyncio.create_task(gate.stay(caller))
    async with asyncio.timeout(10):
        while not caller.actor:  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)
        first = caller.actor.role
        await shared_server.change_user(name, role="VIEWER")
        while caller.actor.role is first:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
        await shared_server.change_user(name, isDisabled=True)
        refused = await staying

    assert (Role.ADMIN, Role.VIEWER) == (first, caller.actor.role)
    assert "AUTH_ACCOUNT_DISABLED" == refused.code


async def test_who_stays_is_not_refused_for_want_of_the_database(
    shared_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, name = shared_server.app.services.gate, await shared_server.newcomer()
    monkeypatch.setattr(auth, "RETRY_SECONDS", 0.01)
    tried = asyncio.Event()

    async def unavailable(*_: Any) -> Any:
        tried.set()
        raise DatabaseUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(shared_server.app.services.database, "first", unavailable)
        staying = asyncio.create_task(gate.stay(Caller(token=shared_server.tokens[name])))
        await tried.wait()
    await shared_server.change_user(name, isDisabled=True)

    assert "AUTH_ACCOUNT_DISABLED" == (await asyncio.wait_for(staying, 10)).code


async def test_of_all_who_stay_with_a_token_one_asks_the_record(
    shared_server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, token = shared_server.app.services.gate, shared_server.tokens["developer"]
    callers = [Caller(token=token) for _ in range(20)]
    read, asked = shared_server.app.services.database.first, 0

    async def counted(*words: Any) -> Any:
        nonlocal asked
        asked += 1
        return await read(*words)

    monkeypatch.setattr(shared_server.app.services.database, "first", counted)
    gate.forget()
    staying = [asyncio.create_task(gate.stay(caller)) for caller in callers]
    async with asyncio.timeout(10):
        while not all(caller.actor for caller in callers):  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.01)
    for task in staying:
        task.cancel()

    assert 1 == asked


async def test_other_servers_hear_of_it(postgres_url: str, tmp_path: Path) -> None:
    settings = settings_for(postgres_url, tmp_path, worker_concurrency=0)
    async with serving(settings) as one, serving(settings) as two:
        caller = Caller(token=two.tokens["developer"])
        staying = asyncio.create_task(two.app.services.gate.stay(caller))
        await one.change_user("developer", isDisabled=True)
        refused = await asyncio.wait_for(staying, 10)

    assert "AUTH_ACCOUNT_DISABLED" == refused.code


async def test_a_token_of_before_is_worth_nothing(gate: Gate, shared_server: Served) -> None:
    token = (await gate.login("viewer", PASSWORD)).access_token
    await gate.identify(token)
    newer = update(users).where(users.c.username == "viewer").values(token_version=2)
    await shared_server.app.services.database.write(lambda tx: tx.execute(newer))
    gate.forget()

    assert "AUTH_TOKEN_INVALID" == await refusal(gate, token)
