"""The conversation on /ws: who may speak, and what is answered."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from db.errors import AccountDisabled
from rest_compat import ws
from tests.rest_compat.desk import AUTHENTICATE, Desk, ask, end_of, hear, subscription


async def test_authenticate_is_confirmed(desk: Desk) -> None:
    async with desk.talk() as socket:
        answer = await ask(socket, AUTHENTICATE)

    assert "authenticated" == answer["type"]
    assert answer["timestamp"].endswith("Z")


async def test_a_bad_token_may_be_followed_by_a_good_one(desk: Desk) -> None:
    async with desk.talk() as socket:
        refused = await ask(socket, {"type": "authenticate", "token": "bad"})
        answer = await ask(socket, AUTHENTICATE)

    assert "AUTH_TOKEN_INVALID" == refused["data"]["code"]
    assert "authenticated" == answer["type"]


async def test_a_session_of_nobody_closes_the_socket(desk: Desk) -> None:
    async with desk.talk("another") as socket:
        refused = await ask(socket, AUTHENTICATE)
        code, _ = await end_of(socket)

    assert "WEBSOCKET_CONNECTION_FAILED" == refused["data"]["code"]
    assert {"session_id": "another"} == refused["data"]["details"]
    assert 4404 == code


async def test_silence_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws, "AUTHENTICATE_SECONDS", 0.05)
    async with desk.talk() as socket:
        refused = await hear(socket)
        code, reason = await end_of(socket)

    assert "AUTH_TOKEN_MISSING" == refused["data"]["code"]
    assert (4401, "Not authenticated in time") == (code, reason)


async def test_the_end_of_the_token_ends_the_conversation(desk: Desk) -> None:
    desk.services.gate.last_for(timedelta(seconds=0.2))
    async with desk.signed_in() as socket:
        assert "subscribed" == (await ask(socket, subscription()))["type"]
        refused = await hear(socket)
        code, reason = await end_of(socket)

    assert ("AUTH_TOKEN_INVALID", {"issue": "expired"}) == (
        refused["data"]["code"],
        refused["data"]["details"],
    )
    assert (4403, "The token is invalid or has expired.") == (code, reason)
    assert 0 == desk.newsroom.readers


async def test_who_is_refused_by_now_is_told_and_closed_out(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        await ask(socket, subscription())
        desk.services.gate.turn_away(AccountDisabled())
        refused = await hear(socket)
        code, reason = await end_of(socket)

    assert ("error", "AUTH_ACCOUNT_DISABLED") == (refused["type"], refused["data"]["code"])
    assert (4403, "The account is disabled.") == (code, reason)
    assert 0 == desk.newsroom.readers


@pytest.mark.parametrize(
    "message",
    [
        subscription(),
        {**subscription(), "type": "unsubscribe"},
        {"type": "execute_task", "task_id": "1"},
    ],
)
async def test_nothing_is_done_for_who_is_refused_by_now(
    desk: Desk, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.services.gate, "stay", lambda _: asyncio.Event().wait())
    async with desk.signed_in() as socket:
        desk.services.gate.turn_away(AccountDisabled())
        refused = await ask(socket, message)

    assert ("error", "AUTH_ACCOUNT_DISABLED") == (refused["type"], refused["data"]["code"])


async def test_a_new_token_prolongs_the_conversation(desk: Desk) -> None:
    desk.services.gate.last_for(timedelta(seconds=0.2))
    async with desk.signed_in() as socket:
        desk.services.gate.last_for(timedelta(hours=1))
        await ask(socket, AUTHENTICATE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)


@pytest.mark.parametrize(
    "message", [subscription(), {**subscription(), "type": "unsubscribe"}, {"type": "execute_task"}]
)
async def test_nothing_is_done_for_somebody_unknown(desk: Desk, message: Any) -> None:
    async with desk.talk() as socket:
        refused = await ask(socket, message)

    assert "error" == refused["type"]
    assert "AUTH_TOKEN_MISSING" == refused["data"]["code"]


async def test_a_ping_is_answered_with_its_own_timestamp(desk: Desk) -> None:
    async with desk.talk() as socket:
        answer = await ask(socket, {"type": "ping", "timestamp": 1690725600000})

    assert {"type": "pong", "timestamp": 1690725600000} == answer


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "VALIDATION_ERROR"),
        ("[]", "VALIDATION_ERROR"),
        ("null", "VALIDATION_ERROR"),
        ('"ping"', "VALIDATION_ERROR"),
        ("[" * 5000, "VALIDATION_ERROR"),
        (b'{"type": "ping"}', "VALIDATION_ERROR"),
        ('{"type": "ping", "x": "' + "x" * 65536 + '"}', "VALIDATION_ERROR"),
        ({}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": None}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": []}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "dance"}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "authenticate"}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": "authenticate", "token": 1}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "subscribe"}, "VALIDATION_REQUIRED_FIELD"),
        ({"type": "subscribe", "channel": {}}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "subscribe", "channel": "gossip"}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "subscribe", "channel": "project_updates"}, "VALIDATION_REQUIRED_FIELD"),
        (subscription(project_id=[]), "VALIDATION_INVALID_FORMAT"),
        ({**subscription(project_id={}), "type": "unsubscribe"}, "VALIDATION_INVALID_FORMAT"),
        ({"type": "execute_task"}, "VALIDATION_REQUIRED_FIELD"),
    ],
)
async def test_a_wrong_message_is_refused_and_the_socket_stays(
    desk: Desk, message: Any, code: str
) -> None:
    async with desk.signed_in() as socket:
        refused = await ask(socket, message)
        pong = await ask(socket, {"type": "ping"})

    assert "error" == refused["type"]
    assert code == refused["data"]["code"]
    assert refused["timestamp"].endswith("Z")
    assert "pong" == pong["type"]


async def test_a_request_is_answered(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        answer = await ask(socket, {"type": "execute_task", "task_id": "7"})

    assert ("task_update", {"task_id": "7"}) == (answer["type"], answer["data"])


async def test_an_error_names_the_task_that_it_is_about(desk: Desk) -> None:
    async with desk.signed_in() as socket:
        answer = await ask(socket, {"type": "execute_task", "task_id": "unknown"})

    assert {
        "code": "RESOURCE_NOT_FOUND",
        "message": "The thing does not exist.",
        "details": {"id": "unknown"},
        "task_id": "unknown",
    } == answer["data"]


async def test_an_accident_is_masked_and_the_socket_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rest_compat.ws._channel", lambda _: 1 / 0)
    async with desk.signed_in() as socket:
        with capture_logs() as logs:
            refused = await ask(socket, subscription())
        pong = await ask(socket, {"type": "ping"})

    assert ["a message failed"] == [entry["event"] for entry in logs]
    assert "INTERNAL_ERROR" == refused["data"]["code"]
    assert "pong" == pong["type"]
