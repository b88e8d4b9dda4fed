"""What a field asks of its caller, declared on the field."""

from functools import cache
from typing import Any

from strawberry.permission import BasePermission

from db.types import Permission


class Asks(BasePermission):
    """A permission that the actor must have."""

    permission: Permission

    def has_permission(self, source: Any, info: Any, **arguments: Any) -> bool:
        info.context.signed_in.must(self.permission)
        return True


@cache
def can(permission: Permission) -> list[type[BasePermission]]:
    """The `permission_classes` of a field for those who have this permission."""
    return [type(f"Can{permission.title()}", (Asks,), {"permission": permission})]
