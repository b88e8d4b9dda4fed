"""User sessions: what a person works on, and how."""

from typing import Any

import strawberry

from db import sessions
from db.types import Permission
from graph import reading
from graph.context import Info
from graph.inputs import values_of
from graph.permissions import can
from graph.scalars import Json
from graph.types import Session


@strawberry.input(description="A new session.")
class CreateSessionInput:
    project_id: strawberry.ID | None = None
    settings: Json | None = None


@strawberry.type
class SessionQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ), description="One of your own sessions."
    )
    async def session(self, info: Info, id: strawberry.ID) -> Session | None:
        return await _session(info, id)


@strawberry.type
class SessionMutation:
    @strawberry.mutation(permission_classes=can(Permission.READ), description="Open a session.")
    async def create_session(self, info: Info, input: CreateSessionInput) -> Session:
        session_id = await info.context.write(
            sessions.create,
            info.context.signed_in,
            lasts_seconds=info.context.services.settings.session_seconds,
            **values_of(input),
        )
        return await _session(info, session_id)

    @strawberry.mutation(
        permission_classes=can(Permission.READ),
        description="Use a session, so that it lasts anew.",
    )
    async def touch_session(self, info: Info, id: strawberry.ID) -> Session:
        lasts_seconds = info.context.services.settings.session_seconds
        await info.context.write(sessions.touch, info.context.signed_in, id, lasts_seconds)
        return await _session(info, id)


async def _session(info: Info, session_id: str) -> Any:
    return await reading.get(info.context, "Session", sessions.LISTING, session_id)
