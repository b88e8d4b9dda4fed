"""In whose name we act, and what that name may do."""

from dataclasses import dataclass

from db.errors import InsufficientPermissions
from db.types import Permission, Role

PERMISSIONS = {
    Role.ADMIN: frozenset(Permission),
    Role.DEVELOPER: frozenset({Permission.READ, Permission.WRITE, Permission.EXECUTE}),
    Role.VIEWER: frozenset({Permission.READ}),
}


@dataclass(frozen=True)
class Actor:
    """The user in whose name we act."""

    id: str
    username: str
    role: Role
    is_premium: bool = False

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def must(self, permission: Permission) -> None:
        """Raises `InsufficientPermissions` when this user may not."""
        if permission not in PERMISSIONS[self.role]:
            raise InsufficientPermissions(required=permission, role=self.role)
