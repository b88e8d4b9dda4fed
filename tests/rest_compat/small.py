"""A small schema and a server around it: what the REST layer needs, and nothing of the product."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import strawberry
import uvicorn
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    build_schema,
)
from starlette.types import ASGIApp

from graph.context import Context, Problem, Services
from graph.execution import Executor

SDL = """
scalar JSON
enum Color { red green }

input LimitsInput { most: Int, names: [String!] }
input ThingInput {
  title: String!
  color: Color
  weight: Float
  is_heavy: Boolean
  limits: LimitsInput
  parts: [LimitsInput!]
  extra: JSON
}

type Thing { id: ID!, title: String, color: Color, note: String, extra: JSON }
type News { id: ID!, text: String }

type Query {
  thing(id: ID!): Thing
  things(color: [Color!], page: Int! = 1): [Thing!]!
  total: Int!
  broken: Int
}
type Mutation {
  make(input: ThingInput!): Thing
  remove(id: ID!, confirm: Boolean): Thing
  use_session(id: ID!): Thing
}
type Subscription {
  news(project_id: ID, task_id: ID): News
}
"""

TOKEN = "good"
SESSION = "session-1"


class ThingNotFound(Problem):
    """The thing does not exist."""

    code = "RESOURCE_NOT_FOUND"


class TokenInvalid(Problem):
    """The token is invalid or has expired."""

    code = "AUTH_TOKEN_INVALID"


class Newsroom:
    """Where the subscription of the small schema gets its news, in the hands of a test."""

    def __init__(self) -> None:
        self.readers = 0
        self.pieces: asyncio.Queue[Any] = asyncio.Queue()

    async def __call__(
        self, root: Any, info: GraphQLResolveInfo[Context], **arguments: str
    ) -> AsyncGenerator[Any, None]:
        if arguments.get("project_id") == "unknown":
            raise ThingNotFound(id="unknown")
        return self._read(info.context)

    async def _read(self, context: Context) -> AsyncGenerator[Any, None]:
        self.readers += 1
        context.listening.set()
        try:
            while True:
                piece = await self.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield {"news": piece}
        finally:
            self.readers -= 1


class SmallServices(Services):
    """Knows one token."""

    def __init__(self, newsroom: Newsroom | None = None, lasts: timedelta | None = None) -> None:
        self.rest = small_executor(newsroom or Newsroom())
        self.lasts = lasts or timedelta(hours=1)

    async def context(self, token: str | None, request_id: str) -> Context:
        if token != TOKEN:
            raise TokenInvalid()
        return Context(self, None, request_id, token, datetime.now(UTC) + self.lasts)


def small_executor(newsroom: Newsroom | None = None) -> Executor:
    """An executor on the small schema."""
    schema = build_schema(SDL)
    resolvers: dict[str, dict[str, Callable[..., Any]]] = {
        "Query": {"thing": _thing, "things": _things, "total": lambda *_: 7, "broken": _broken},
        "Mutation": {"make": _make, "remove": _thing, "use_session": _use_session},
    }
    for type_name, fields in resolvers.items():
        for name, resolver in fields.items():
            _fields(schema, type_name)[name].resolve = resolver
    _fields(schema, "Subscription")["news"].subscribe = newsroom or Newsroom()
    executor_class = strawberry.Schema(query=_Unused).execution_context_class
    return Executor(schema, executor_class)


@strawberry.type
class _Unused:
    words: str


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application for a while; gives `host:port`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        served = asyncio.create_task(server.serve([listener]))
        try:
            yield f"{host}:{port}"
        finally:
            server.should_exit = True
            await served


def _fields(schema: GraphQLSchema, type_name: str) -> Mapping[str, GraphQLField]:
    type_ = schema.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    fields: Mapping[str, GraphQLField] = type_.fields
    return fields


def _thing(root: Any, info: Any, **words: Any) -> dict[str, Any]:
    thing_id = words.pop("id")
    if thing_id == "unknown":
        raise ThingNotFound(id=thing_id)
    return {"id": thing_id, "title": "a thing", "color": "red", "note": repr(words)}


def _things(root: Any, info: Any, **words: Any) -> list[dict[str, Any]]:
    return [{"id": "1", "note": repr(words)}]


def _make(root: Any, info: Any, **words: Any) -> dict[str, Any]:
    return {"id": "new", "title": words["input"]["title"], "extra": words["input"]}


def _use_session(root: Any, info: Any, **words: Any) -> dict[str, Any]:
    if words["id"] != SESSION:
        raise ThingNotFound(id=words["id"])
    return {"id": words["id"]}


def _broken(*_: Any) -> Any:
    raise ZeroDivisionError("secret words")
