"""Users: sign in, who am I, and accounts for others."""

from typing import Any

import strawberry

from db import users
from db.errors import TokenMissing, ValueTooLong, ValueTooShort
from db.tables import users as users_table
from db.types import Permission, Role
from graph.auth import Grant
from graph.context import Info
from graph.nouns import NOUNS
from graph.permissions import can
from graph.types import Account

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1000
TOKEN_TYPE = "bearer"  # noqa: S105 - the scheme, not a secret


@strawberry.input(description="A new account.")
class CreateUserInput:
    username: str
    password: str = strawberry.field(description="At least 8 characters.")
    role: Role = Role.DEVELOPER
    email: str | None = None
    full_name: str | None = None


@strawberry.type(description="An access token.")
class Login:
    access_token: str = strawberry.field(description="For `Authorization: Bearer …`.")
    token_type: str
    expires_in: int = strawberry.field(description="Seconds for which it is good.")
    user_id: strawberry.Private[str]

    @strawberry.field(description="Whose token it is.")
    async def user(self, info: Info) -> Account:
        return await _account(info, self.user_id)


@strawberry.type
class UserQuery:
    @strawberry.field(permission_classes=can(Permission.READ), description="Your own account.")
    async def viewer(self, info: Info) -> Account:
        return await _account(info, info.context.signed_in.id)


@strawberry.type
class UserMutation:
    @strawberry.mutation(description="Sign in with a name and a password.")
    async def login(self, info: Info, username: str, password: str) -> Login:
        if len(password) > LONGEST_PASSWORD:
            raise ValueTooLong("password", LONGEST_PASSWORD)
        await info.context.services.limits.demand_login(username, info.context.address)
        grant = await info.context.services.gate.login(username, password)
        await info.context.note(users.record_login, grant.user_id)
        return _login(grant)

    @strawberry.mutation(
        description="A new token for the one in the Authorization header, which may have expired "
        "not long ago."
    )
    async def refresh_token(self, info: Info) -> Login:
        if info.context.token is None:
            raise TokenMissing()
        grant = await info.context.services.gate.refresh(info.context.token)
        return _login(grant)

    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER), description="Make an account for somebody."
    )
    async def create_user(self, info: Info, input: CreateUserInput) -> Account:
        if len(input.password) < SHORTEST_PASSWORD:
            raise ValueTooShort("password", SHORTEST_PASSWORD)
        if len(input.password) > LONGEST_PASSWORD:
            raise ValueTooLong("password", LONGEST_PASSWORD)
        user_id = await info.context.write(
            users.create,
            info.context.signed_in,
            username=input.username,
            password_hash=await info.context.services.gate.passwords.hash(input.password),
            role=input.role,
            email=input.email,
            full_name=input.full_name,
        )
        return await _account(info, user_id)


def _login(grant: Grant) -> Login:
    return Login(
        access_token=grant.access_token,
        token_type=TOKEN_TYPE,
        expires_in=grant.expires_in,
        user_id=grant.user_id,
    )


async def _account(info: Info, user_id: str) -> Any:
    return await info.context.database.first(
        NOUNS["Account"].select().where(users_table.c.id == user_id)
    )
