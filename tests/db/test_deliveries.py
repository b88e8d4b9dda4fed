"""Deliveries: what webhooks are told of, and what becomes of it."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import create_async_engine

from db import deliveries, events, maintenance, notifications, projects, tasks, webhooks
from db.clock import from_now
from db.deliveries import Answer
from db.engine import Database, Tx
from db.postgres import with_driver
from db.tables import events as log
from db.tables import webhooks as rows
from db.types import DeliveryStatus, NotificationLevel, Role
from tests.db import queues, record
from tests.db.hooks import (
    all_deliveries,
    hook,
    make_due,
    one_delivery,
    project_of,
    settled,
    spread,
    stored,
    take,
)

FAILED = Answer(500, "The receiver answered 500")


async def test_a_webhook_is_told_of_what_happens_from_its_making_on(database: Database) -> None:
    ann, project_id = await project_of(database)
    await record.task(database, ann, project_id)
    await settled(database)
    webhook_id = await hook(database, ann, project_id=project_id)
    task_id = await record.task(database, ann, project_id, title="Water")
    (delivery,) = await spread(database, 1)

    assert webhook_id == delivery.webhook_id
    assert {
        "event": "task.created",
        "timestamp": delivery.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")[:16],
        "data": {
            "task_id": task_id,
            "project_id": project_id,
            "status": "pending",
            "title": "Water",
        },
        "webhook_id": webhook_id,
        "delivery_id": delivery.id,
    } == payload_of(delivery) | {"timestamp": payload_of(delivery)["timestamp"][:16]}


async def test_it_is_told_only_of_the_events_that_it_names(database: Database) -> None:
    ann, project_id = await project_of(database)
    await hook(database, ann, project_id=project_id, events=["project.updated", "task.updated"])
    task_id = await record.task(database, ann, project_id)
    await database.write(tasks.change, ann, task_id, {"priority": 7})
    await database.write(tasks.cancel, ann, task_id)
    await database.write(projects.change, ann, project_id, {"name": "Q"})
    told = await spread(database, 3)

    changes = [payload_of(each)["data"] for each in told]
    assert ["task.updated", "task.updated", "project.updated"] == [each.event for each in told]
    assert ("priority", 0, 7) == values(changes[0])
    assert ("status", "pending", "cancelled") == values(changes[1])
    assert {"project_id": project_id, "name": "Q"} == changes[2]


async def test_long_texts_are_not_told(database: Database) -> None:
    ann, project_id = await project_of(database)
    await hook(database, ann, project_id=project_id, events=["task.updated"])
    task_id = await record.task(database, ann, project_id)
    await database.write(tasks.change, ann, task_id, {"description": "x" * 1000})
    (told,) = await spread(database, 1)

    data = payload_of(told)["data"]
    assert "description" == data["field"]
    assert "new_value" not in data


async def test_a_project_does_not_hear_of_another(database: Database) -> None:
    ann, mine = await project_of(database)
    bob = await record.person(database, "bob")
    theirs = await record.project(database, bob)
    admin = await record.person(database, "admin", Role.ADMIN)
    await settled(database)
    await hook(database, ann, project_id=mine)
    of_all = await hook(database, admin)
    await record.task(database, bob, theirs)
    await database.write(maintenance.start, admin)
    told = await spread(database, 2)

    assert [(of_all, "task.created"), (of_all, "system.maintenance")] == [
        (each.webhook_id, each.event) for each in told
    ]


async def test_an_alert_for_one_user_is_not_told(database: Database) -> None:
    admin = await record.person(database, "admin", Role.ADMIN)
    await hook(database, admin, events=["system.alert"])
    alert: dict[str, Any] = {"title": "Disk", "message": "Full", "level": NotificationLevel.ERROR}
    await database.write(notifications.notify, admin, **alert, user_id=admin.id)
    await database.write(notifications.notify, admin, **alert | {"level": NotificationLevel.INFO})
    await database.write(notifications.notify, admin, **alert)
    (told,) = await spread(database, 1)

    data = payload_of(told)["data"]
    assert ("Disk", "Full", "error") == (data["title"], data["message"], data["level"])
    assert "user_id" not in data


async def test_an_event_is_spread_once_however_many_try(database_url: str) -> None:
    async with queues.opened(database_url, 2) as (database, other):
        ann, project_id = await project_of(database)
        await hook(database, ann, project_id=project_id)
        for _ in range(5):
            await record.task(database, ann, project_id)
        both = (spread(database, 5), spread(other, 5))
        found, same = await asyncio.gather(*both)

    assert 5 == len(found)
    assert [each.id for each in found] == [each.id for each in same]


async def test_more_than_fits_into_one_look_is_spread_in_several(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "EVENTS_AT_ONCE", 2)
    ann, project_id = await project_of(database)
    await hook(database, ann, project_id=project_id)
    made = [await record.task(database, ann, project_id) for _ in range(5)]
    told = await spread(database, 5)

    assert made == [payload_of(each)["data"]["task_id"] for each in told]


async def test_a_cursor_never_steps_over_a_transaction_that_commits_later(
    postgres_url: str,
) -> None:
    engine = create_async_engine(with_driver(postgres_url))
    async with queues.opened(postgres_url, 1) as (database,):
        ann, project_id = await project_of(database)
        await hook(database, ann, project_id=project_id)
        async with engine.connect() as slow:
            await slow.run_sync(lambda connection: tell(Tx(connection), project_id, "early"))
            await database.write(tell, project_id, "late")
            await database.write(deliveries.spread)
            meanwhile = await all_deliveries(database)
            behind = await database.rows(deliveries.behind())
            await slow.commit()
        told = await spread(database, 2)
    await engine.dispose()

    assert [] == meanwhile
    assert 1 == len(behind)
    assert ["early", "late"] == [payload_of(each)["data"]["name"] for each in told]


async def test_one_that_is_enabled_again_is_not_told_of_what_it_missed(database: Database) -> None:
    ann, project_id = await project_of(database)
    webhook_id = await hook(database, ann, project_id=project_id)
    await database.write(webhooks.change, ann, webhook_id, {"enabled": False})
    await record.task(database, ann, project_id, title="missed")
    await database.write(deliveries.spread)
    await settled(database)
    await database.write(webhooks.change, ann, webhook_id, {"enabled": True})
    await record.task(database, ann, project_id, title="told")
    (told,) = await spread(database, 1)

    assert "told" == payload_of(told)["data"]["title"]


async def test_a_deleted_project_is_not_told_of(database: Database) -> None:
    ann, project_id = await project_of(database)
    await hook(database, ann, project_id=project_id)
    await record.task(database, ann, project_id)
    await spread(database, 1)
    await database.write(projects.remove, ann, project_id)

    assert [] == await database.rows(deliveries.behind())
    assert [] == await database.rows(deliveries.due([], limit=5))


async def test_what_is_taken_is_not_taken_again_before_its_lease_is_over(
    database_url: str,
) -> None:
    async with queues.opened(database_url, 2) as (database, other):
        webhook_id = await one_delivery(database)
        first = await take(database, webhook_id)
        meanwhile = [await take(database, webhook_id), await take(other, webhook_id)]
        seen = await other.rows(deliveries.due([], limit=5))
        await make_due(database)
        again = await take(other, webhook_id)

    assert [1] == [taken.attempt for taken in first]
    assert [[], []] == meanwhile
    assert [] == seen
    assert [(first[0].id, 2, first[0].body)] == [
        (taken.id, taken.attempt, taken.body) for taken in again
    ]


async def test_two_that_take_at_once_never_take_the_same(database_url: str) -> None:
    async with queues.opened(database_url, 2) as (database, other):
        ann, project_id = await project_of(database)
        webhook_id = await hook(database, ann, project_id=project_id)
        for _ in range(12):
            await record.task(database, ann, project_id)
        await spread(database, 12)
        taken = [
            each
            for some in await asyncio.gather(
                *(take(each, webhook_id, 3) for each in (database, other) * 4)
            )
            for each in some
        ]

    assert len(taken) == len({each.id for each in taken})


async def test_whoever_lost_a_delivery_does_not_settle_it(database: Database) -> None:
    webhook_id = await one_delivery(database)
    (first,) = await take(database, webhook_id)
    await make_due(database)
    (second,) = await take(database, webhook_id)
    late = await database.write(deliveries.settle, first, FAILED)
    done = await database.write(deliveries.settle, second, Answer(204))
    after = await database.write(deliveries.settle, second, FAILED)
    (delivery,) = await all_deliveries(database)

    assert [None, DeliveryStatus.DELIVERED, None] == [late, done, after]
    assert (DeliveryStatus.DELIVERED, 204, None) == (
        *(delivery.status, delivery.response_status, delivery.error),
    )
    assert delivery.delivered_at


async def test_what_fails_is_tried_eight_times_within_about_a_day(database: Database) -> None:
    webhook_id = await one_delivery(database)
    statuses, pauses = [], timedelta()
    while taken := await take(database, webhook_id):
        statuses.append(await database.write(deliveries.settle, taken[0], FAILED))
        (found,) = await all_deliveries(database)
        if found.next_attempt_at:
            pauses += found.next_attempt_at - found.created_at
            await make_due(database)
    (delivery,) = await all_deliveries(database)

    assert [DeliveryStatus.PENDING] * 7 + [DeliveryStatus.FAILED] == statuses
    assert timedelta(hours=18) < pauses < timedelta(hours=30)
    assert (8, 500, FAILED.error, None) == (
        *(delivery.attempts, delivery.response_status, delivery.error, delivery.next_attempt_at),
    )


async def test_a_receiver_that_is_gone_switches_its_webhook_off(database: Database) -> None:
    webhook_id = await one_delivery(database)
    (taken,) = await take(database, webhook_id)
    status = await database.write(deliveries.settle, taken, Answer(410, "gone"))
    webhook = await stored(database, webhook_id)
    told = await database.scalar(select(log.c.kind).order_by(log.c.tx.desc(), log.c.seq.desc()))

    assert DeliveryStatus.FAILED == status
    assert (False, "The receiver answered 410 Gone") == (webhook.enabled, webhook.disabled_reason)
    assert "webhook.disabled" == told


@pytest.mark.parametrize(
    ("failures", "hours", "enabled"), [(98, 30, True), (99, 23, True), (99, 25, False)]
)
async def test_one_that_fails_for_long_is_switched_off(
    database: Database, failures: int, hours: int, enabled: bool
) -> None:
    webhook_id = await one_delivery(database)
    failing = {"failures": failures, "failing_since": from_now(-hours * 3600)}
    await queues.carry_out(database, update(rows).values(failing))
    (taken,) = await take(database, webhook_id)
    await database.write(deliveries.settle, taken, FAILED)

    assert enabled == (await stored(database, webhook_id)).enabled


async def test_a_success_ends_the_count_of_failures(database: Database) -> None:
    webhook_id = await one_delivery(database)
    (taken,) = await take(database, webhook_id)
    await database.write(deliveries.settle, taken, FAILED)
    failing = await stored(database, webhook_id)
    await make_due(database)
    (taken,) = await take(database, webhook_id)
    await database.write(deliveries.settle, taken, Answer(200))
    well = await stored(database, webhook_id)

    assert (1, True) == (failing.failures, failing.failing_since is not None)
    assert (0, None) == (well.failures, well.failing_since)


async def test_a_disabled_webhook_keeps_what_waits(database: Database) -> None:
    webhook_id = await one_delivery(database)
    admin = await record.person(database, "admin", Role.ADMIN)
    await database.write(webhooks.change, admin, webhook_id, {"enabled": False})
    off = await take(database, webhook_id)
    await database.write(webhooks.change, admin, webhook_id, {"enabled": True})

    assert [] == off
    assert 1 == len(await take(database, webhook_id))


async def test_a_deleted_webhook_has_neither_a_secret_nor_a_future(database: Database) -> None:
    webhook_id = await one_delivery(database)
    (taken,) = await take(database, webhook_id)
    admin = await record.person(database, "admin", Role.ADMIN)
    await database.write(webhooks.remove, admin, webhook_id)
    late = await database.write(deliveries.settle, taken, Answer(200))
    (delivery,) = await all_deliveries(database)
    webhook = await stored(database, webhook_id)

    assert None is late
    assert (DeliveryStatus.FAILED, webhooks.DELETED) == (delivery.status, delivery.error)
    assert ("", False) == (webhook.secret, webhook.enabled)


async def test_a_delivery_is_sent_again_with_the_same_id_and_body(database: Database) -> None:
    webhook_id = await one_delivery(database)
    admin = await record.person(database, "admin", Role.ADMIN)
    (first,) = await take(database, webhook_id)
    await database.write(deliveries.settle, first, Answer(200))
    await database.write(deliveries.redeliver, admin, first.id)
    (again,) = await take(database, webhook_id)

    assert (first.id, first.body, 2) == (again.id, again.body, again.attempt)


async def test_a_delivery_that_is_asked_for_while_it_is_under_way_is_sent_once_more(
    database: Database,
) -> None:
    webhook_id = await one_delivery(database)
    admin = await record.person(database, "admin", Role.ADMIN)
    (first,) = await take(database, webhook_id)
    await database.write(deliveries.redeliver, admin, first.id)
    settled_first = await database.write(deliveries.settle, first, Answer(200))
    (again,) = await take(database, webhook_id)
    settled_again = await database.write(deliveries.settle, again, Answer(200))

    assert 2 == again.attempt
    assert [None, DeliveryStatus.DELIVERED] == [settled_first, settled_again]


async def test_a_ping_is_a_delivery(database: Database) -> None:
    ann, project_id = await project_of(database)
    webhook_id = await hook(database, ann, project_id=project_id, events=["task.failed"])
    ping_id = await database.write(deliveries.ping, ann, webhook_id)
    (taken,) = await take(database, webhook_id)

    assert (ping_id, "ping") == (taken.id, taken.event)
    assert {"events": ["task.failed"]} == orjson.loads(taken.body)["data"]


async def test_a_taken_delivery_does_not_show_its_secret(database: Database) -> None:
    webhook_id = await one_delivery(database)
    (taken,) = await take(database, webhook_id)

    assert taken.secret not in repr(taken)


def tell(tx: Tx, project_id: str, name: str) -> None:
    events.tell(tx, "project.updated", None, project_id=project_id, data={"name": name})


def payload_of(delivery: Any) -> Any:
    return orjson.loads(delivery.body)


def values(change: dict[str, Any]) -> tuple[Any, ...]:
    return change["field"], change["old_value"], change["new_value"]
