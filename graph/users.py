"""Users: sign in, who am I, and accounts for others."""

from enum import StrEnum
from typing import Any

import strawberry

from db import users
from db.errors import CredentialsInvalid, Invalid, TokenMissing, ValueTooLong, ValueTooShort
from db.tables import users as users_table
from db.types import Permission, Role
from graph.auth import Grant
from graph.context import Info
from graph.inputs import changes_of
from graph.nouns import NOUNS
from graph.pages import Lists, SortOrder
from graph.people import Account, User
from graph.permissions import can
from graph.roots import changes, connection
from graph.scalars import Json

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


@strawberry.input(description="What changes about an account: only what is given.")
class UpdateUserInput:
    role: strawberry.Maybe[Role]
    is_disabled: strawberry.Maybe[bool] = strawberry.field(
        description="A disabled account is signed out at once, and nobody gets in by it."
    )
    is_premium: strawberry.Maybe[bool]
    email: strawberry.Maybe[str | None]
    full_name: strawberry.Maybe[str | None]
    avatar_url: strawberry.Maybe[str | None]
    password: strawberry.Maybe[str] = strawberry.field(
        description="At least 8 characters; its owner is signed out everywhere."
    )


@strawberry.enum(description="What a list of users may be sorted by.")
class UserSort(StrEnum):
    USERNAME = "username"
    CREATED_AT = "created_at"


@strawberry.input(description="Which users a list shows.")
class UserFilter:
    search: str | None = strawberry.field(
        default=None, description="Text in the user name or the full name."
    )
    role: list[Role] | None = None


@strawberry.input(description="Which accounts a list shows.")
class AccountFilter(UserFilter):
    is_disabled: bool | None = None


PEOPLE = Lists(User, users.PEOPLE, UserFilter, UserSort, SortOrder.ASC)
ACCOUNTS = Lists(Account, users.ACCOUNTS, AccountFilter, UserSort, SortOrder.ASC)


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

    users = connection(PEOPLE, can(Permission.READ), "Everyone who works here, by name.")

    accounts = connection(
        ACCOUNTS, can(Permission.ADMINISTER), "All accounts, also disabled ones, by name."
    )


@strawberry.type
class UserMutation:
    @strawberry.mutation(description="Sign in with a name and a password.")
    async def login(self, info: Info, username: str, password: str) -> Login:
        if len(password) > LONGEST_PASSWORD:
            raise ValueTooLong("password", LONGEST_PASSWORD)
        await info.context.services.limits.demand_login(username, info.context.caller.address)
        grant = await info.context.services.gate.login(username, password)
        await info.context.note(users.record_login, grant.user_id)
        return _login(grant)

    @strawberry.mutation(
        description="A new token for the one in the Authorization header, which may have expired "
        "not long ago."
    )
    async def refresh_token(self, info: Info) -> Login:
        token = info.context.caller.token
        if token is None:
            raise TokenMissing()
        grant = await info.context.services.gate.refresh(token)
        return _login(grant)

    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER), description="Make an account for somebody."
    )
    async def create_user(self, info: Info, input: CreateUserInput) -> Account:
        user_id = await info.context.write(
            users.create,
            info.context.signed_in,
            username=input.username,
            password_hash=await _hashed(info, "password", input.password),
            role=input.role,
            email=input.email,
            full_name=input.full_name,
        )
        return await _account(info, user_id)

    @strawberry.mutation(
        permission_classes=can(Permission.ADMINISTER),
        description="Change somebody's account; the last administrator stays one.",
    )
    async def update_user(self, info: Info, id: strawberry.ID, input: UpdateUserInput) -> Account:
        changes = changes_of(input)
        if "password" in changes:
            password = changes.pop("password")
            changes["password_hash"] = await _hashed(info, "password", password)
        await info.context.write(users.change, info.context.signed_in, id, changes)
        info.context.services.gate.forget()
        return await _account(info, id)

    @strawberry.mutation(
        permission_classes=can(Permission.READ),
        description="Choose another password. All tokens from before are worth nothing any more; "
        "go on with the one that is answered.",
    )
    async def change_password(self, info: Info, current_password: str, new_password: str) -> Login:
        actor, gate = info.context.signed_in, info.context.services.gate
        address = info.context.caller.address
        await info.context.services.limits.demand_login(actor.username, address)
        try:
            await gate.login(actor.username, current_password[:LONGEST_PASSWORD])
        except CredentialsInvalid:
            raise Invalid("current_password", "Not your password") from None
        hashed = await _hashed(info, "new_password", new_password)
        await info.context.write(users.change_password, actor, hashed)
        gate.forget()
        return _login(await gate.login(actor.username, new_password))

    @changes(
        Account,
        users.ACCOUNTS,
        can(Permission.READ),
        "Merge preferences into your own: objects key by key; null takes a key away.",
    )
    async def update_preferences(self, info: Info, preferences: Json) -> str:
        actor = info.context.signed_in
        await info.context.write(users.prefer, actor, preferences)
        return actor.id


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


async def _hashed(info: Info, field: str, password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise ValueTooShort(field, SHORTEST_PASSWORD)
    if len(password) > LONGEST_PASSWORD:
        raise ValueTooLong(field, LONGEST_PASSWORD)
    return await info.context.services.gate.passwords.hash(password)
