"""Webhooks: who may have them, and what they may be."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from db import deliveries, projects, retention, webhooks
from db.clock import from_now
from db.engine import Database
from db.errors import Problem
from db.tables import deliveries as delivery_rows
from db.tables import projects as project_rows
from db.tables import webhooks as rows
from db.types import MemberRole, Role
from tests.db import queues, record
from tests.db.hooks import (
    URL,
    all_deliveries,
    hook,
    one_delivery,
    project_of,
    stored,
)


async def test_only_owners_and_administrators_manage_a_projects_webhooks(
    database: Database,
) -> None:
    ann, project_id = await project_of(database)
    webhook_id = await hook(database, ann, project_id=project_id)
    people = {}
    for name, role in (("editor", MemberRole.EDITOR), ("viewer", MemberRole.VIEWER)):
        people[name] = await record.person(database, name)
        await record.member(database, project_id, people[name], role)
    people["stranger"] = await record.person(database, "stranger")
    looker = await record.person(database, "looker", Role.VIEWER)
    await record.member(database, project_id, looker, MemberRole.OWNER)

    make = {"url": URL, "project_id": project_id}
    assert {
        "editor": ["PROJECT_ACCESS_DENIED", *["RESOURCE_NOT_FOUND"] * 4],
        "viewer": ["PROJECT_ACCESS_DENIED", *["RESOURCE_NOT_FOUND"] * 4],
        "stranger": ["PROJECT_NOT_FOUND", *["RESOURCE_NOT_FOUND"] * 4],
        "looker": ["AUTH_INSUFFICIENT_PERMISSIONS"] * 5,
    } == {
        name: [
            await refusal(database, webhooks.create, who, **make),
            await refusal(database, webhooks.change, who, webhook_id, {"enabled": False}),
            await refusal(database, webhooks.rotate, who, webhook_id),
            await refusal(database, webhooks.remove, who, webhook_id),
            await refusal(database, deliveries.ping, who, webhook_id),
        ]
        for name, who in (people | {"looker": looker}).items()
    }


async def test_only_administrators_have_webhooks_of_the_whole_system(database: Database) -> None:
    ann, _ = await project_of(database)
    admin = await record.person(database, "admin", Role.ADMIN)
    webhook_id = await hook(database, admin)

    assert "AUTH_INSUFFICIENT_PERMISSIONS" == (
        await refusal(database, webhooks.create, ann, url=URL)
    )
    assert "RESOURCE_NOT_FOUND" == await refusal(database, webhooks.remove, ann, webhook_id)


async def test_a_delivery_of_somebody_elses_webhook_is_not_found(database: Database) -> None:
    await one_delivery(database)
    (delivery,) = await all_deliveries(database)
    bob = await record.person(database, "bob")

    assert "RESOURCE_NOT_FOUND" == await refusal(database, deliveries.redeliver, bob, delivery.id)


async def test_an_archived_project_lets_go_of_its_webhooks_only(database: Database) -> None:
    ann, project_id = await project_of(database)
    webhook_id = await hook(database, ann, project_id=project_id)
    await database.write(projects.change, ann, project_id, {"status": "archived"})
    refused = [
        await refusal(database, webhooks.create, ann, url=URL, project_id=project_id),
        await refusal(database, webhooks.change, ann, webhook_id, {"enabled": False}),
        await refusal(database, webhooks.remove, ann, webhook_id),
    ]

    assert ["PROJECT_ARCHIVED", "PROJECT_ARCHIVED", None] == refused


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        ({"url": "x"}, "VALIDATION_INVALID_FORMAT", "url"),
        ({"url": "http://10.0.0.1/"}, "VALIDATION_INVALID_FORMAT", "url"),
        ({"events": []}, "VALIDATION_REQUIRED_FIELD", "events"),
        ({"events": ["task.exploded"]}, "VALIDATION_INVALID_FORMAT", "events"),
        ({"events": ["system.alert"]}, "VALIDATION_INVALID_FORMAT", "events"),
        ({"secret": "too short"}, "VALIDATION_VALUE_TOO_SHORT", "secret"),
        ({"secret": "x" * 201}, "VALIDATION_VALUE_TOO_LONG", "secret"),
        ({"description": "x" * 2001}, "VALIDATION_VALUE_TOO_LONG", "description"),
    ],
)
async def test_a_wrong_webhook_is_refused(
    database: Database, words: dict[str, Any], code: str, field: str
) -> None:
    ann, project_id = await project_of(database)
    with pytest.raises(Problem) as refused:
        await hook(database, ann, project_id=project_id, **words)

    assert (code, field) == (refused.value.code, refused.value.details["field"])


async def test_what_must_not_be_null_is_not_emptied(database: Database) -> None:
    ann, project_id = await project_of(database)
    webhook_id = await hook(database, ann, project_id=project_id, description="x")
    await database.write(webhooks.change, ann, webhook_id, {"description": None})
    emptied = [
        await refusal(database, webhooks.change, ann, webhook_id, {name: None})
        for name in ("url", "events", "enabled")
    ]

    assert ["VALIDATION_REQUIRED_FIELD"] * 3 == emptied
    assert None is (await stored(database, webhook_id)).description


async def test_a_project_has_a_limited_number_of_webhooks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_OF_A_PROJECT", 1)
    ann, project_id = await project_of(database)
    await hook(database, ann, project_id=project_id)
    refused = await refusal(database, webhooks.create, ann, url=URL, project_id=project_id)

    assert "PROJECT_LIMIT_EXCEEDED" == refused


async def test_a_disabled_webhook_is_not_sent_to_by_hand(database: Database) -> None:
    ann, project_id = await project_of(database)
    webhook_id = await hook(database, ann, project_id=project_id, enabled=False)

    assert "VALIDATION_ERROR" == await refusal(database, deliveries.ping, ann, webhook_id)


@pytest.mark.parametrize("rule", ["deliveries", "deleted_webhooks", "deleted_projects"])
async def test_old_deliveries_are_forgotten(database: Database, rule: str) -> None:
    await one_delivery(database)
    kept = await database.write(retention.RULES[rule].forget_some, timedelta(days=1))
    then = from_now(-2 * 24 * 3600)
    await queues.carry_out(database, update(delivery_rows).values(created_at=then))
    await queues.carry_out(database, update(rows).values(deleted_at=then))
    await queues.carry_out(database, update(project_rows).values(deleted_at=then))
    while await database.write(retention.RULES[rule].forget_some, timedelta(days=1)) is not None:
        pass
    left = await database.scalar(select(func.count()).select_from(delivery_rows))

    assert kept is None
    assert 0 == left


async def refusal(database: Database, unit: Any, *args: Any, **words: Any) -> str | None:
    """The code with which this is refused; None when it is done."""
    try:
        await database.write(unit, *args, **words)
    except Problem as problem:
        return problem.code
    return None
