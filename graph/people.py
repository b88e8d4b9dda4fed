"""The nouns for those who work here."""

import strawberry

from db import spending
from db import users as rules
from db.actors import PERMISSIONS
from db.tables import users
from db.types import Permission, Role
from graph.agent_nouns import Usage
from graph.nouns import column, computed, noun, single
from graph.scalars import DateTime, Duration, Json

for word in (Role, Permission):
    strawberry.enum(word, description=word.__doc__)


@noun(users)
class User:
    """Someone who works here, as others see them."""

    id: strawberry.ID = column(users.c.id, "UUIDv7.")
    username: str = column(users.c.username, "The unique name to sign in with.")
    full_name: str | None = column(users.c.full_name, "The person's name.")
    avatar_url: str | None = column(users.c.avatar_url, "A picture.")
    role: Role = column(users.c.role, "What the user may do.")


@noun(None)
class UserStatistics:
    """What someone has done."""

    tasks_created: int = column(None, "Tasks that they created and that are not deleted.")
    tasks_completed: int = column(
        None, "Completed tasks that are assigned to them, or to nobody and were created by them."
    )
    projects_created: int = column(None, "Projects that they created and that are not deleted.")
    total_login_time: Duration = column(
        None, "How long they had a session in use, from its opening to its last use."
    )


@noun(users)
class Account:
    """An account, as its owner and administrators see it."""

    id: strawberry.ID = column(users.c.id, "UUIDv7.")
    username: str = column(users.c.username, "The unique name to sign in with.")
    email: str | None = column(users.c.email, "An e-mail address; unique.")
    full_name: str | None = column(users.c.full_name, "The person's name.")
    avatar_url: str | None = column(users.c.avatar_url, "A picture.")
    role: Role = column(users.c.role, "What the user may do.")
    permissions: list[Permission] = computed(
        lambda role: [granted for granted in Permission if granted in PERMISSIONS[Role(role)]],
        ("role",),
        "What the role grants.",
    )
    preferences: Json = column(users.c.preferences, "Free-form settings of the web UI.")
    created_at: DateTime = column(users.c.created_at, "When the account was made.")
    updated_at: DateTime = column(users.c.updated_at, "When the account last changed.")
    last_login: DateTime | None = column(users.c.last_login_at, "The last time they signed in.")
    usage: Usage = single(
        "Usage", spending.of_users, "user_id", "What their agents took.", absent=spending.NOTHING
    )
    is_premium: bool = column(users.c.is_premium, "Whether more requests a minute are allowed.")
    disabled_at: DateTime | None = column(
        users.c.disabled_at, "Since when nobody gets in by it; null while it works."
    )
    statistics: UserStatistics = single(
        "UserStatistics", rules.statistics, "user_id", "What they have done."
    )
