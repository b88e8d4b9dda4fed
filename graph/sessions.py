"""User sessions: what a person works on, and how."""

from typing import Any

import strawberry

from db import sessions
from db.types import Permission
from graph import reading
from graph.context import Info
from graph.inputs import values_of
from graph.permissions import can
from graph.roots import changes, got
from graph.scalars import Json
from graph.types import Session


@strawberry.input(description="A new session.")
class CreateSessionInput:
    project_id: strawberry.ID | None = None
    settings: Json | None = None


@strawberry.type
class SessionQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One of your own sessions.",
        metadata=got("Session", sessions.LISTING),
    )
    async def session(self, info: Info, id: strawberry.ID) -> Session | None:
        return await _session(info, id)


@strawberry.type
class SessionMutation:
    @changes(Session, sessions.LISTING, can(Permission.READ), "Open a session.")
    async def create_session(self, info: Info, input: CreateSessionInput) -> str:
        return await info.context.write(
            sessions.create,
            info.context.signed_in,
            lasts_seconds=info.context.services.settings.session_seconds,
            **values_of(input),
        )

    @changes(
        Session, sessions.LISTING, can(Permission.READ), "Use a session, so that it lasts anew."
    )
    async def touch_session(self, info: Info, id: strawberry.ID) -> str:
        lasts_seconds = info.context.services.settings.session_seconds
        await info.context.write(sessions.touch, info.context.signed_in, id, lasts_seconds)
        return id


async def _session(info: Info, session_id: str) -> Any:
    return await reading.get(info.context, "Session", sessions.LISTING, session_id)
