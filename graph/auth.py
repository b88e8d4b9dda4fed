"""Passwords and access tokens, and from a token to the actor it stands for."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import jwt
import msgspec
from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash
from sqlalchemy import select

from db.actors import Actor
from db.engine import Database
from db.errors import (
    AccountDisabled,
    CredentialsInvalid,
    DatabaseUnavailable,
    Problem,
    TokenInvalid,
)
from db.ids import new_id
from db.tables import users
from db.users import TOPIC, actor_of

ALGORITHM = "HS256"
CLAIMS = ["exp", "iat", "sub", "jti", "tv", "typ"]
REMEMBERED_SECONDS = 5.0
POLL_SECONDS = 60.0
"""A hint may be lost; users are looked up again this often without one."""
RETRY_SECONDS = 1.0
MOST_REMEMBERED = 10_000
NOBODY = (0.0, None)


class Identity(NamedTuple):
    """Who a token stands for, and until when."""

    actor: Actor
    expires_at: datetime


class Caller(msgspec.Struct, eq=False):
    """Who asks, and from where; there is an actor only for a token that is good."""

    actor: Actor | None = None
    token: str | None = None
    address: str = ""
    refusal: Problem | None = None


@dataclass(frozen=True)
class Grant:
    """A fresh access token."""

    access_token: str
    expires_in: int
    user_id: str


class Passwords:
    """Argon2 hashes; each takes 64 MiB for a moment, so that only two are made at once."""

    def __init__(self, hasher: PasswordHash | None = None) -> None:
        self._hasher = hasher or PasswordHash.recommended()
        self._limiter: CapacityLimiter | None = None

    async def hash(self, password: str) -> str:
        return await to_thread.run_sync(self._hasher.hash, password, limiter=self._few())

    async def verify(self, password: str, hashed: str | None) -> bool:
        """True when it is the password; takes as long for a user that does not exist."""
        right = await to_thread.run_sync(self._is_right, password, hashed, limiter=self._few())
        return right and hashed is not None

    def _is_right(self, password: str, hashed: str | None) -> bool:
        return self._hasher.verify(password, hashed or self._decoy)

    @cached_property
    def _decoy(self) -> str:
        return self._hasher.hash(new_id())

    def _few(self) -> CapacityLimiter:
        self._limiter = self._limiter or CapacityLimiter(2)
        return self._limiter


class Gate:
    """Lets in: a name and a password, or a token that it gave for them."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        key: str,
        lasts: timedelta,
        refresh_grace: timedelta,
    ) -> None:
        self.passwords = passwords
        self._database = database
        self._key = key
        self._lasts = lasts
        self._refresh_grace = refresh_grace
        # Clocks differ between servers: a token that one has just given must not be too new here.
        self._jwt = jwt.PyJWT(
            options={"require": CLAIMS, "enforce_minimum_key_length": True, "verify_iat": False}
        )
        self._remembered: OrderedDict[str, tuple[float, Identity | None]] = OrderedDict()
        self._forgotten = asyncio.Event()
        self._turn = asyncio.Lock()

    async def login(self, username: str, password: str) -> Grant:
        """Raises `CredentialsInvalid` or `AccountDisabled`."""
        wanted = select(users).where(users.c.username == username)
        user = await self._database.first(wanted)
        if not await self.passwords.verify(password, user.password_hash if user else None):
            raise CredentialsInvalid()
        assert user
        if user.disabled_at:
            raise AccountDisabled(username=username)
        return self._grant(user)

    async def refresh(self, token: str) -> Grant:
        """A new token for one that is good, or that expired not long ago."""
        claims = self._claims(token, leeway=self._refresh_grace)
        return self._grant(await self._user(claims))

    def recall(self, token: str) -> Identity | None:
        """Who came with this token a moment ago."""
        until, identity = self._remembered.get(token, NOBODY)
        return identity if until > time.time() else None

    async def identify(self, token: str) -> Identity:
        """Who comes with this token. Raises `TokenInvalid` or `AccountDisabled`."""
        while not (identity := self.recall(token)):
            claims = self._claims(token, leeway=timedelta(0))
            forgotten = self._forgotten
            user = await self._user(claims)
            identity = Identity(actor_of(user), datetime.fromtimestamp(claims["exp"], UTC))
            # What was read before a user changed may be what was true before.
            if not forgotten.is_set():
                self._remember(token, identity)
                break
        return identity

    async def renew(self, caller: Caller) -> datetime | None:
        """Let a caller be who their token stands for now; returns until when, if it ends.

        Raises `TokenInvalid` or `AccountDisabled`.
        """
        if caller.token is None:
            return None
        identity = self.recall(caller.token) or await self.identify(caller.token)
        caller.actor = identity.actor
        return identity.expires_at

    async def stay(self, caller: Caller) -> Problem:
        """Keep a caller current; returns why, as soon as their token is not good any more."""
        while True:
            forgotten = self._forgotten
            try:
                # In turn: of all who stay with the same token only the first asks the record.
                async with self._turn:
                    until = _seconds_to(await self.renew(caller))
            except DatabaseUnavailable:
                until = RETRY_SECONDS
            except Problem as problem:
                return problem
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until):
                    await forgotten.wait()

    def forget(self) -> None:
        """Look every user up again: one of them has changed."""
        self._remembered.clear()
        self._forgotten.set()
        self._forgotten = asyncio.Event()

    async def keep_current(self) -> None:
        """Forget whenever a user changes, in whichever process; runs as long as the server."""
        with self._database.bus.listen(TOPIC) as listener:
            while True:
                await listener.wait(POLL_SECONDS)
                self.forget()
                await asyncio.sleep(0)

    def _remember(self, token: str, identity: Identity) -> None:
        until = min(time.time() + REMEMBERED_SECONDS, identity.expires_at.timestamp())
        self._remembered[token] = (until, identity)
        self._remembered.move_to_end(token)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _claims(self, token: str, leeway: timedelta) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = self._jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                leeway=leeway,
            )
        except jwt.ExpiredSignatureError:
            raise TokenInvalid(issue="expired") from None
        except (jwt.InvalidTokenError, UnicodeError):
            raise TokenInvalid() from None
        if claims["typ"] != "access":
            raise TokenInvalid()
        return claims

    async def _user(self, claims: dict[str, Any]) -> Any:
        user = await self._database.first(select(users).where(users.c.id == claims["sub"]))
        if not user or user.token_version != claims["tv"]:
            raise TokenInvalid()
        if user.disabled_at:
            raise AccountDisabled(username=user.username)
        return user

    def _grant(self, user: Any) -> Grant:
        now = datetime.now(UTC)
        claims = {
            "sub": user.id,
            "iat": now,
            "exp": now + self._lasts,
            "jti": new_id(),
            "tv": user.token_version,
            "typ": "access",
        }
        token = self._jwt.encode(claims, self._key, ALGORITHM)
        return Grant(token, int(self._lasts.total_seconds()), user.id)


def _seconds_to(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - datetime.now(UTC)).total_seconds()
