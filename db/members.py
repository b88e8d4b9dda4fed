"""Members: who works in a project, and what each may do there."""

from typing import Any

from sqlalchemy import Row, delete, func, select, update

from db import events, projects, sessions
from db.actors import Actor
from db.engine import Tx
from db.errors import (
    Invalid,
    ProjectAccessDenied,
    ResourceAlreadyExists,
    ResourceNotFound,
)
from db.tables import members, users
from db.types import MemberRole, Permission


def add(tx: Tx, actor: Actor, project_id: str, user_id: str, role: MemberRole) -> None:
    """Let a user into a project. Raises `ResourceAlreadyExists` for one who is in it."""
    _check_owner(_opened(tx, actor, project_id), actor)
    if not tx.first(select(users.c.id).where(users.c.id == user_id, users.c.disabled_at.is_(None))):
        raise ResourceNotFound(resource="user", user_id=user_id)
    if tx.first(select(members.c.role).where(*_is(project_id, user_id))):
        raise ResourceAlreadyExists(resource="member", user_id=user_id)
    projects.add_member(tx, project_id, user_id, role)
    _tell(tx, "project.member_added", actor, project_id, user_id, role)


def change(tx: Tx, actor: Actor, project_id: str, user_id: str, role: MemberRole) -> None:
    """Give a member another role; the last owner keeps theirs."""
    _check_owner(_opened(tx, actor, project_id), actor)
    member = _member(tx, project_id, user_id)
    if role is not MemberRole.OWNER:
        _check_not_last_owner(tx, project_id, member)
    tx.execute(update(members).where(*_is(project_id, user_id)).values(role=role))
    _tell(tx, "project.member_changed", actor, project_id, user_id, role)


def remove(tx: Tx, actor: Actor, project_id: str, user_id: str) -> None:
    """Show a member out of a project, or leave it oneself; the last owner stays."""
    project = _opened(tx, actor, project_id)
    if user_id != actor.id:
        _check_owner(project, actor)
    member = _member(tx, project_id, user_id)
    _check_not_last_owner(tx, project_id, member)
    tx.execute(delete(members).where(*_is(project_id, user_id)))
    sessions.look_away(tx, user_id)
    _tell(tx, "project.member_removed", actor, project_id, user_id, MemberRole(member.role))


def _opened(tx: Tx, actor: Actor, project_id: str) -> Row[Any]:
    """The project, whose members nobody else changes meanwhile."""
    actor.must(Permission.READ)
    project = projects.get(tx, actor, project_id)
    projects.check_active(project)
    projects.lock(tx, project_id)
    return project


def _check_owner(project: Row[Any], actor: Actor) -> None:
    actor.must(Permission.WRITE)
    if not (actor.is_admin or project.role == MemberRole.OWNER):
        raise ProjectAccessDenied(project_id=project.id, role=project.role)


def _member(tx: Tx, project_id: str, user_id: str) -> Row[Any]:
    member = tx.first(select(members).where(*_is(project_id, user_id)))
    if not member:
        raise ResourceNotFound(resource="member", user_id=user_id)
    return member


def _check_not_last_owner(tx: Tx, project_id: str, member: Row[Any]) -> None:
    owners = select(func.count()).where(
        members.c.project_id == project_id, members.c.role == MemberRole.OWNER
    )
    if member.role == MemberRole.OWNER and tx.scalar(owners) == 1:
        raise Invalid("role", "The project needs another owner first")


def _is(project_id: str, user_id: str) -> tuple[Any, ...]:
    return members.c.project_id == project_id, members.c.user_id == user_id


def _tell(tx: Tx, kind: str, actor: Actor, project_id: str, user_id: str, role: MemberRole) -> None:
    data = {"user_id": user_id, "role": role}
    events.tell(tx, kind, actor, project_id=project_id, data=data)
