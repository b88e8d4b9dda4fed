"""User sessions: what a person works on, and how."""

from enum import StrEnum
from typing import Any

import strawberry

from db import restoring, sessions
from db.restoring import Restored
from db.types import Permission, SessionStatus
from graph import reading
from graph.context import Info
from graph.inputs import values_of
from graph.pages import Lists
from graph.permissions import can
from graph.roots import changes, connection, got
from graph.scalars import DateTime, Json
from graph.types import Session


@strawberry.enum(description="What a list of sessions may be sorted by.")
class SessionSort(StrEnum):
    CREATED_AT = "created_at"
    LAST_ACCESSED = "last_accessed_at"


@strawberry.input(description="Which sessions a list shows.")
class SessionFilter:
    status: list[SessionStatus] | None = None
    project_id: strawberry.ID | None = None


LISTS = Lists(Session, sessions.LISTING, SessionFilter, SessionSort)


@strawberry.input(description="A new session.")
class CreateSessionInput:
    project_id: strawberry.ID | None = None
    settings: Json | None = None


@strawberry.input(description="What changes about a session.")
class UpdateSessionInput:
    settings: Json = strawberry.field(
        description="Merged into what is there, key by key; null takes a key away."
    )


@strawberry.input(description="How far a session goes back, and what goes with it.")
class RestoreSessionInput:
    restore_point: DateTime = strawberry.field(
        description="Not before the session's begin, nor in the future."
    )
    include_tasks: bool = strawberry.field(
        default=False, description="Also what you changed about the project's tasks since then."
    )
    include_settings: bool = strawberry.field(default=True, description="Also the settings.")


@strawberry.type(description="A session that was deleted.")
class DeletedSession:
    id: strawberry.ID
    message: str
    deleted_at: DateTime


@strawberry.type(description="A task of which something was restored.")
class RestoredTask:
    task_id: strawberry.ID
    fields: list[str]


@strawberry.type(description="A task that was left as it is.")
class SkippedTask:
    task_id: strawberry.ID
    reason: str


@strawberry.type(description="What was restored, and what was not.")
class RestoredSession:
    session_id: strawberry.ID
    restore_point: DateTime
    settings_restored: bool
    restored_tasks: list[RestoredTask]
    skipped_tasks: list[SkippedTask]

    @strawberry.field(description="The session as it is now.")
    async def session(self, info: Info) -> Session:
        return await _session(info, self.session_id)


@strawberry.type
class SessionQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="One of your own sessions.",
        metadata=got("Session", sessions.LISTING),
    )
    async def session(self, info: Info, id: strawberry.ID) -> Session | None:
        return await _session(info, id)

    sessions = connection(
        LISTS, can(Permission.READ), "Your own sessions, newest first, by cursor."
    )


@strawberry.type
class SessionMutation:
    @changes(Session, sessions.LISTING, can(Permission.READ), "Open a session.")
    async def create_session(self, info: Info, input: CreateSessionInput) -> str:
        return await info.context.write(
            sessions.create,
            info.context.signed_in,
            lasts_seconds=_lasts(info),
            **values_of(input),
        )

    @changes(
        Session, sessions.LISTING, can(Permission.READ), "Use a session, so that it lasts anew."
    )
    async def touch_session(self, info: Info, id: strawberry.ID) -> str:
        await info.context.note(sessions.touch, info.context.signed_in, id, _lasts(info))
        return id

    @changes(Session, sessions.LISTING, can(Permission.READ), "Change a session; that uses it.")
    async def update_session(self, info: Info, id: strawberry.ID, input: UpdateSessionInput) -> str:
        settings: Any = input.settings
        await info.context.write(
            sessions.change, info.context.signed_in, id, settings, _lasts(info)
        )
        return id

    @strawberry.mutation(
        permission_classes=can(Permission.READ),
        description="Close a session for good; its history stays in the record.",
    )
    async def delete_session(self, info: Info, id: strawberry.ID) -> DeletedSession:
        deleted_at = await info.context.write(sessions.remove, info.context.signed_in, id)
        return DeletedSession(
            id=id, message="Session deleted successfully", deleted_at=DateTime(deleted_at)
        )

    @strawberry.mutation(
        permission_classes=can(Permission.READ),
        description="Bring a session back to how it was: its settings, and what you changed about "
        "the project's tasks since. One that has expired is used again.",
    )
    async def restore_session(
        self, info: Info, id: strawberry.ID, input: RestoreSessionInput
    ) -> RestoredSession:
        restored = await info.context.write(
            restoring.restore,
            info.context.signed_in,
            id,
            input.restore_point,
            _lasts(info),
            include_settings=input.include_settings,
            include_tasks=input.include_tasks,
        )
        return _restored(id, input.restore_point, restored)


def _lasts(info: Info) -> int:
    return info.context.services.settings.session_seconds


async def _session(info: Info, session_id: str) -> Any:
    return await reading.get(info.context, "Session", sessions.LISTING, session_id)


def _restored(id_: strawberry.ID, point: DateTime, restored: Restored) -> RestoredSession:
    return RestoredSession(
        session_id=id_,
        restore_point=point,
        settings_restored=restored.settings is not None,
        restored_tasks=[
            RestoredTask(task_id=strawberry.ID(task_id), fields=list(fields))
            for task_id, fields in restored.tasks.items()
        ],
        skipped_tasks=[
            SkippedTask(task_id=strawberry.ID(task_id), reason=reason)
            for task_id, reason in restored.skipped.items()
        ],
    )
