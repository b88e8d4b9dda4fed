"""Webhooks: made, changed and tried out; and what they were sent."""

from collections.abc import Collection

import orjson
import strawberry

from db import deliveries, webhooks
from db.tables import deliveries as deliveries_table
from db.tables import webhooks as table
from db.types import DeliveryStatus, Permission
from graph import reading
from graph.context import Info
from graph.inputs import changes_of, values_of
from graph.nouns import NOUNS, column, computed, noun, to_many, to_one
from graph.pages import Lists
from graph.people import User
from graph.permissions import can
from graph.roots import changes, connection, got
from graph.scalars import DateTime, Json
from graph.types import Project

strawberry.enum(DeliveryStatus, name="DeliveryStatus", description=DeliveryStatus.__doc__)


@noun(deliveries_table)
class Delivery:
    """What a webhook was sent, or will be: one event, tried until it arrives."""

    id: strawberry.ID = column(
        deliveries_table.c.id, "UUIDv7; the header `X-Delivery-ID` of every attempt."
    )
    webhook_id: strawberry.ID = column(deliveries_table.c.webhook_id, "Whom it is for.")
    webhook: "Webhook" = to_one("Webhook", "webhook_id", "Whom it is for.")
    event: str = column(deliveries_table.c.event, "What it tells of: `task.completed`, or `ping`.")
    payload: Json = computed(orjson.loads, ("body",), "What is sent, the same in every attempt.")
    status: DeliveryStatus = column(deliveries_table.c.status, "Where it stands.")
    attempts: int = column(deliveries_table.c.attempts, "How often it was tried so far.")
    next_attempt_at: DateTime | None = column(
        deliveries_table.c.next_attempt_at, "When it is tried again, as long as it is pending."
    )
    response_status: int | None = column(
        deliveries_table.c.response_status, "The HTTP status that was last answered."
    )
    error: str | None = column(deliveries_table.c.error, "Why the last attempt failed.")
    created_at: DateTime = column(deliveries_table.c.created_at, "When it was made.")
    delivered_at: DateTime | None = column(deliveries_table.c.delivered_at, "When it arrived.")


@noun(table)
class Webhook:
    """An address that is told by HTTP of what happens. Its secret is shown once, when it is set."""

    id: strawberry.ID = column(table.c.id, "UUIDv7.")
    project_id: strawberry.ID | None = column(
        table.c.project_id, "The project that it hears of; null for the whole system."
    )
    project: Project | None = to_one("Project", "project_id", "The project that it hears of.")
    url: str = column(table.c.url, "Where it is told.")
    events: list[str] = column(table.c.events, "What it is told of: `task.completed`.")
    description: str | None = column(table.c.description, "What it is for.")
    enabled: bool = column(table.c.enabled, "Whether anything is sent to it.")
    disabled_reason: str | None = column(
        table.c.disabled_reason, "Why it was switched off, if nobody did."
    )
    created_by: strawberry.ID = column(table.c.created_by, "The id of who made it.")
    creator: User = to_one("User", "created_by", "Who made it.")
    created_at: DateTime = column(table.c.created_at, "When it was made.")
    updated_at: DateTime = column(table.c.updated_at, "When it last changed.")
    recent_deliveries: list[Delivery] = to_many(
        "Delivery",
        lambda ids: deliveries.recent(NOUNS["Delivery"].select(), ids),
        "webhook_id",
        "The ten latest, newest first; `webhookDeliveries` has all.",
    )


@strawberry.input(description="Which webhooks a list shows.")
class WebhookFilter:
    project_id: strawberry.ID | None = None
    enabled: bool | None = None


@strawberry.input(description="Which deliveries a list shows.")
class DeliveryFilter:
    webhook_id: strawberry.ID | None = None
    status: list[DeliveryStatus] | None = None
    event: str | None = None


LISTS = Lists(Webhook, webhooks.LISTING, WebhookFilter)
DELIVERIES = Lists(Delivery, deliveries.LISTING, DeliveryFilter)


@strawberry.input(description="A new webhook.")
class CreateWebhookInput:
    url: str = strawberry.field(description="Where it is told: `https://example.com/hook`.")
    project_id: strawberry.ID | None = strawberry.field(
        default=None, description="Without one it hears of the whole system: administrators only."
    )
    events: list[str] | None = strawberry.field(
        default=None, description="Such as `task.completed`; by default all that it may hear of."
    )
    secret: str | None = strawberry.field(
        default=None, description="Signs what is sent, 16 to 200 characters; by default made up."
    )
    description: str | None = None
    enabled: bool = True


@strawberry.input(description="What changes about a webhook: only what is given.")
class UpdateWebhookInput:
    url: strawberry.Maybe[str | None]
    events: strawberry.Maybe[list[str] | None]
    description: strawberry.Maybe[str | None]
    enabled: strawberry.Maybe[bool | None]


@strawberry.type(description="A webhook and its secret, which is shown only now.")
class WebhookSecret:
    webhook: Webhook
    secret: str


@strawberry.type(description="A webhook that was deleted.")
class DeletedWebhook:
    id: strawberry.ID
    message: str


@strawberry.type
class WebhookQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One webhook, for the owners of its project and for administrators.",
        metadata=got("Webhook", webhooks.LISTING),
    )
    async def webhook(self, info: Info, id: strawberry.ID) -> Webhook | None:
        return await reading.get(info.context, "Webhook", webhooks.LISTING, id)

    webhooks = connection(
        LISTS,
        can(Permission.READ),
        "Webhooks of the projects that you own, newest first, by cursor.",
    )

    webhook_deliveries = connection(
        DELIVERIES, can(Permission.READ), "What webhooks were sent, newest first, by cursor."
    )


@strawberry.type
class WebhookMutation:
    @strawberry.mutation(
        permission_classes=can(Permission.WRITE),
        description="Have an address told of what happens from now on.",
    )
    async def create_webhook(self, info: Info, input: CreateWebhookInput) -> WebhookSecret:
        id_, secret = await info.context.write(
            webhooks.create,
            info.context.signed_in,
            **values_of(input),
            allowed_hosts=_allowed_hosts(info),
        )
        return await _shown(info, id_, secret)

    @changes(
        Webhook,
        webhooks.LISTING,
        can(Permission.WRITE),
        "Change a webhook, switch it off or on. On again, it is not told of what it has missed.",
    )
    async def update_webhook(self, info: Info, id: strawberry.ID, input: UpdateWebhookInput) -> str:
        chosen, allowed = changes_of(input), _allowed_hosts(info)
        await info.context.write(webhooks.change, info.context.signed_in, id, chosen, allowed)
        return id

    @strawberry.mutation(
        permission_classes=can(Permission.WRITE),
        description="Give a webhook another secret; all is signed by it from now on.",
    )
    async def rotate_webhook_secret(
        self, info: Info, id: strawberry.ID, secret: str | None = None
    ) -> WebhookSecret:
        new = await info.context.write(webhooks.rotate, info.context.signed_in, id, secret)
        return await _shown(info, id, new)

    @strawberry.mutation(
        permission_classes=can(Permission.WRITE),
        description="Delete a webhook; what it has not been told of, it never is.",
    )
    async def delete_webhook(self, info: Info, id: strawberry.ID) -> DeletedWebhook:
        await info.context.write(webhooks.remove, info.context.signed_in, id)
        return DeletedWebhook(id=id, message="Webhook deleted successfully")

    @changes(
        Delivery,
        deliveries.LISTING,
        can(Permission.WRITE),
        "Send a webhook the event `ping`, to try it.",
    )
    async def ping_webhook(self, info: Info, id: strawberry.ID) -> str:
        return await info.context.write(deliveries.ping, info.context.signed_in, id)

    @changes(
        Delivery,
        deliveries.LISTING,
        can(Permission.WRITE),
        "Try a delivery once more, now, whatever came of it before.",
    )
    async def redeliver_webhook(self, info: Info, delivery_id: strawberry.ID) -> str:
        return await info.context.write(deliveries.redeliver, info.context.signed_in, delivery_id)


async def _shown(info: Info, webhook_id: str, secret: str) -> WebhookSecret:
    webhook = await reading.get(info.context, "Webhook", webhooks.LISTING, webhook_id)
    return WebhookSecret(webhook=webhook, secret=secret)


def _allowed_hosts(info: Info) -> Collection[str]:
    return info.context.services.settings.webhook_allowed_hosts
