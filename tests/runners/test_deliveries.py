"""Deliveries: sent to real receivers, signed, and again when they fail."""

import asyncio
import hmac
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from db import deliveries, webhooks
from db.actors import Actor
from db.clock import from_now
from db.deliveries import Answer, Taken
from db.engine import Database, Tx
from db.tables import deliveries as rows
from db.tables import webhooks as webhook_rows
from db.types import DeliveryStatus, Role
from runners import deliveries as runner
from runners import sender as sending
from runners.deliveries import Deliveries
from runners.metrics import DELIVERIES
from runners.sender import Sender
from tests.db import queues, record
from tests.fixtures.receiver import Receiver, receiving
from tests.fixtures.server import settings_for

SECRET = "a secret of the receiver"
HERE = "127.0.0.1"
PATIENCE_SECONDS = 20


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still being sent when a test ends is not waited for."""
    monkeypatch.setattr(runner, "STOP_SECONDS", 0.0)


async def test_what_happens_is_sent_and_signed(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    before = counted("delivered")
    async with sending_of(database_url, tmp_path) as (database,):
        ann, project_id = await told(database, receiver)
        task_id = await record.task(database, ann, project_id)
        received = await receiver.next()
        delivery = await until_settled(database)
        await until_counted("delivered", before)

    signed = hmac.new(SECRET.encode(), received.body, "sha256").hexdigest()
    assert "POST /hook HTTP/1.1" == received.line
    assert task_id == received.payload["data"]["task_id"]
    assert {
        "host": f"{HERE}:{receiver.port}",
        "content-type": "application/json",
        "x-event-type": "task.created",
        "x-delivery-id": delivery.id,
        "x-signature-256": f"sha256={signed}",
    }.items() <= received.headers.items()
    assert (DeliveryStatus.DELIVERED, 200, 1) == (
        *(delivery.status, delivery.response_status, delivery.attempts),
    )


async def test_what_fails_is_sent_again_with_the_same_id_and_body(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = ["500 Internal Server Error"]
    async with sending_of(database_url, tmp_path) as (database,):
        ann, project_id = await told(database, receiver)
        await record.task(database, ann, project_id)
        first = await receiver.next()
        failed = await until_tried(database, 1)
        await make_due(database)
        again = await receiver.next()
        delivery = await until_settled(database)

    assert (DeliveryStatus.PENDING, 500, "The receiver answered 500") == (
        *(failed.status, failed.response_status, failed.error),
    )
    assert (first.headers, first.body) == (again.headers, again.body)
    assert (DeliveryStatus.DELIVERED, 2, None) == (
        *(delivery.status, delivery.attempts, delivery.error),
    )


async def test_a_receiver_that_is_gone_gets_nothing_more(
    sqlite_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = ["410 Gone"]
    async with sending_of(sqlite_url, tmp_path) as (database,):
        ann, project_id = await told(database, receiver)
        await record.task(database, ann, project_id)
        delivery = await until_settled(database)
        webhook = await database.first(select(webhook_rows))

    assert (DeliveryStatus.FAILED, 410) == (delivery.status, delivery.response_status)
    assert webhook
    assert (False, "The receiver answered 410 Gone") == (webhook.enabled, webhook.disabled_reason)


async def test_a_slow_receiver_holds_up_nobody_else(
    database_url: str, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MOST_SECONDS", 10 * PATIENCE_SECONDS)
    receiver.silent = True
    async with sending_of(database_url, tmp_path) as (database,), receiving() as other:
        ann, project_id = await told(database, receiver)
        for _ in range(2 * runner.EACH_AT_ONCE):
            await record.task(database, ann, project_id)
        await receiver.next()
        await hook(database, ann, project_id, other)
        await record.task(database, ann, project_id)
        received = await other.next()

    assert "task.created" == received.payload["event"]
    assert receiver.count() < runner.EACH_AT_ONCE


async def test_two_processes_send_each_delivery_once(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    async with sending_of(database_url, tmp_path, processes=2) as (database, _):
        ann, project_id = await told(database, receiver)
        made = [await record.task(database, ann, project_id) for _ in range(30)]
        received = [await receiver.next() for _ in made]
        await until(lambda: all_settled(database))

    assert sorted(made) == sorted(each.payload["data"]["task_id"] for each in received)
    assert 0 == receiver.count()


async def test_what_a_killed_process_had_taken_is_sent_by_another(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    async with queues.opened(database_url, 1) as (killed,):
        ann, project_id = await told(killed, receiver)
        await record.task(killed, ann, project_id)
        await until(lambda: spread(killed))
        webhook_id = await killed.scalar(select(webhook_rows.c.id))
        (taken,) = await killed.write(deliveries.take_due, webhook_id, limit=8)
    async with sending_of(database_url, tmp_path) as (database,):
        await make_due(database)
        received = await receiver.next()
        delivery = await until_settled(database)

    assert (taken.id, taken.body) == (received.headers["x-delivery-id"], received.body)
    assert 2 == delivery.attempts


async def test_a_process_that_stops_lets_go_of_what_it_is_sending(
    sqlite_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.silent = True
    async with sending_of(sqlite_url, tmp_path) as (database,):
        ann, project_id = await told(database, receiver)
        await record.task(database, ann, project_id)
        await receiver.next()
    names = {task.get_name() for task in asyncio.all_tasks()}

    assert "deliveries to one webhook" not in names


async def test_neither_secret_nor_answer_is_logged(
    sqlite_url: str, tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    receiver.answers = ["500 confidential"]
    async with sending_of(sqlite_url, tmp_path) as (database,):
        ann, project_id = await told(database, receiver)
        await record.task(database, ann, project_id)
        await until_tried(database, 1)

    ours = [entry.getMessage() for entry in caplog.records if "httpcore" not in entry.name]
    logged = "\n".join(ours) + capsys.readouterr().out
    assert "a delivery failed" in logged
    assert SECRET not in logged
    assert "confidential" not in logged


async def test_what_no_sender_foresees_is_an_error_of_the_delivery(
    sqlite_url: str, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_sender: Sender, _delivery: Taken) -> Answer:
        raise ZeroDivisionError

    monkeypatch.setattr(Sender, "send", fail)
    async with sending_of(sqlite_url, tmp_path) as (database,):
        ann, project_id = await told(database, receiver)
        await record.task(database, ann, project_id)
        delivery = await until_tried(database, 1)

    assert "It could not be sent" == delivery.error


def test_what_sends_is_not_imported_before_something_is_sent() -> None:
    loaded = "import app, cli, sys; print('httpx2' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True)

    assert b"False\n" == said.stdout


@asynccontextmanager
async def sending_of(
    url: str, directory: Path, processes: int = 1
) -> AsyncIterator[list[Database]]:
    """So many processes on one database that send what is to be sent."""
    settings = settings_for(url, directory, webhook_allowed_hosts=[HERE])
    async with queues.opened(url, processes) as databases, AsyncExitStack() as stack:
        for database in databases:
            await stack.enter_async_context(Deliveries(database, settings).going_on())
        yield databases


async def told(database: Database, receiver: Receiver) -> tuple[Actor, str]:
    """Somebody, and a project of which the receiver is told."""
    ann = await record.person(database, "ann", Role.ADMIN)
    project_id = await record.project(database, ann)
    await hook(database, ann, project_id, receiver)
    return ann, project_id


async def hook(database: Database, who: Actor, project_id: str, receiver: Receiver) -> None:
    words: dict[str, Any] = {"url": receiver.url, "secret": SECRET, "project_id": project_id}
    await database.write(webhooks.create, who, **words, allowed_hosts=[HERE])


async def spread(database: Database) -> bool:
    await database.write(deliveries.spread)
    return bool(await database.rows(select(rows)))


async def until_settled(database: Database) -> Any:
    """The only delivery, once it is not pending any more."""
    await until(lambda: all_settled(database))
    return await database.first(select(rows))


async def all_settled(database: Database) -> bool:
    found = await database.rows(select(rows.c.status))
    return bool(found) and all(row.status != DeliveryStatus.PENDING for row in found)


async def until_tried(database: Database, attempts: int) -> Any:
    """The only delivery, once so many attempts have come to something."""
    tried = select(rows).where(rows.c.attempts == attempts, rows.c.error.is_not(None))

    async def is_tried() -> bool:
        return await database.first(tried) is not None

    await until(is_tried)
    return await database.first(tried)


def counted(status: str) -> float:
    """How many attempts came to this, as Prometheus is told."""
    found: float = DELIVERIES.labels(status)._value.get()
    return found


async def until_counted(status: str, before: float) -> None:
    async def is_counted() -> bool:
        return counted(status) > before

    await until(is_counted)


async def make_due(database: Database) -> None:
    def unit(tx: Tx) -> None:
        pending = update(rows).where(rows.c.status == DeliveryStatus.PENDING)
        tx.execute(pending.values(next_attempt_at=from_now(-1)))
        tx.hint("deliveries")

    await database.write(unit)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_so():  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.01)
