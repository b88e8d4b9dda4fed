"""Notifications: what administrators tell the users, kept until it is acknowledged."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import strawberry

from db import notifications
from db.errors import DatabaseUnavailable
from db.tables import notifications as table
from db.types import NotificationLevel, Permission
from graph.context import Context, Info
from graph.inputs import values_of
from graph.nouns import column, noun
from graph.permissions import can
from graph.scalars import DateTime, Json

POLL_SECONDS = 30.0
"""A hint may be lost; the record is looked at this often without one."""


@noun(table)
class Notification:
    """What an administrator tells the users."""

    id: strawberry.ID = column(table.c.id, "UUIDv7.")
    level: NotificationLevel = column(table.c.level, "How much it matters.")
    title: str = column(table.c.title, "At most 200 characters.")
    message: str = column(table.c.message, "The text.")
    actions: Json = column(
        table.c.actions, "What can be done about it: `label`, `action` and maybe `url`."
    )
    created_at: DateTime = column(table.c.created_at, "When it was told.")
    expires_at: DateTime = column(table.c.expires_at, "Until when it is shown.")


@strawberry.input(description="What a user may do about a notification.")
class NotificationActionInput:
    label: str = strawberry.field(description="What a button says: `View Details`.")
    action: str = strawberry.field(description="What the web page knows it by: `view_details`.")
    url: str | None = strawberry.field(default=None, description="Where it leads.")


@strawberry.input(description="A new notification.")
class NotifyInput:
    title: str
    message: str
    level: NotificationLevel = NotificationLevel.INFO
    actions: list[NotificationActionInput] | None = None
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Whom it is for; by default everyone."
    )
    expires_at: DateTime | None = strawberry.field(
        default=None, description="Until when it is shown; by default for seven days."
    )


@strawberry.type(description="A notification that you will be shown no more.")
class AcknowledgedNotification:
    notification_id: strawberry.ID


@strawberry.type
class NotificationQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="What you have been told and have not acknowledged: the 100 oldest.",
    )
    async def notifications(self, info: Info) -> list[Notification]:
        waiting: list[Any] = list(await _waiting(info.context))
        return waiting


@strawberry.type
class NotificationMutation:
    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER),
        description="Tell everyone something, or one user: at once where they are, later where "
        "they were away.",
    )
    async def notify(self, info: Info, input: NotifyInput) -> Notification:
        values = values_of(input)
        if input.actions:
            values["actions"] = [values_of(action) for action in input.actions]
        id_ = await info.context.write(notifications.notify, info.context.signed_in, **values)
        found: Any = await info.context.loaders.one("Notification").load(id_)
        return found

    @strawberry.mutation(
        permission_classes=can(Permission.READ),
        description="Take notice of a notification: you are not shown it again.",
    )
    async def acknowledge_notification(
        self, info: Info, id: strawberry.ID
    ) -> AcknowledgedNotification:
        await info.context.note(notifications.acknowledge, info.context.signed_in, id)
        return AcknowledgedNotification(notification_id=id)


@strawberry.type
class NotificationSubscription:
    @strawberry.subscription(
        permission_classes=can(Permission.READ),
        description="What you have not acknowledged yet, and then what you are told.",
    )
    async def notifications(self, info: Info) -> AsyncIterator[Notification]:
        with info.context.services.bus.listen(notifications.TOPIC) as listener:
            info.context.listening.set()
            told: set[str] = set()
            while True:
                # The next look sees what this one could not.
                with contextlib.suppress(DatabaseUnavailable):
                    waiting = await _waiting(info.context)
                    for row in waiting:
                        if row.id not in told:
                            yield row
                    told = {row.id for row in waiting}
                await listener.wait(POLL_SECONDS)


async def _waiting(context: Context) -> Any:
    return await context.database.rows(notifications.waiting_for(context.signed_in))
