"""What a field asks of its caller, declared on the field."""

from functools import cache
from typing import Any

from strawberry.permission import BasePermission

from db.errors import TokenMissing
from db.types import Permission


class Asks(BasePermission):
    """A permission that the actor must have."""

    permission: Permission

    def has_permission(self, source: Any, info: Any, **arguments: Any) -> bool:
        require(info.context, self.permission)
        return True


def require(context: Any, permission: Permission) -> None:
    """Raises `TokenMissing` without an actor, `InsufficientPermissions` for one that may not."""
    if context.actor is None:
        raise TokenMissing()
    context.actor.must(permission)


@cache
def can(permission: Permission) -> list[type[BasePermission]]:
    """The `permission_classes` of a field for those who have this permission."""
    return [type(f"Can{permission.title()}", (Asks,), {"permission": permission})]
