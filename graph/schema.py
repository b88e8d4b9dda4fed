"""The schema, in its two spellings: GraphQL's own, and the documented words of REST."""

from collections.abc import Callable
from datetime import datetime
from functools import cache

import strawberry
from sqlalchemy import Dialect
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.types.enum import EnumValue, StrawberryEnumDefinition

from db.spelling import to_the_second
from graph.agents import AgentMutation, AgentSubscription
from graph.analytics import AnalyticsQuery
from graph.approvals import ApprovalMutation, ApprovalQuery, ApprovalSubscription
from graph.bulk import BulkMutation
from graph.commands import CommandQuery
from graph.dependencies import DependencyMutation
from graph.execution import Executor
from graph.health import HealthQuery
from graph.members import MemberMutation
from graph.notifications import (
    NotificationMutation,
    NotificationQuery,
    NotificationSubscription,
)
from graph.projects import ProjectMutation, ProjectQuery, ProjectSubscription
from graph.queues import QueueMutation, QueueQuery
from graph.runs import RunMutation, RunQuery, RunSubscription
from graph.scalars import precise, scalars
from graph.schedules import ScheduleMutation, ScheduleQuery
from graph.sessions import SessionMutation, SessionQuery
from graph.system import SystemMutation, SystemQuery
from graph.tasks import TaskMutation, TaskQuery
from graph.users import UserMutation, UserQuery
from graph.webhooks import WebhookMutation, WebhookQuery


@strawberry.type(description="What can be read.")
class Query(
    UserQuery,
    ProjectQuery,
    AnalyticsQuery,
    TaskQuery,
    RunQuery,
    CommandQuery,
    ScheduleQuery,
    SessionQuery,
    QueueQuery,
    NotificationQuery,
    WebhookQuery,
    ApprovalQuery,
    HealthQuery,
    SystemQuery,
):
    pass


@strawberry.type(description="What can be changed.")
class Mutation(
    UserMutation,
    ProjectMutation,
    MemberMutation,
    TaskMutation,
    BulkMutation,
    DependencyMutation,
    RunMutation,
    ScheduleMutation,
    SessionMutation,
    QueueMutation,
    NotificationMutation,
    WebhookMutation,
    AgentMutation,
    ApprovalMutation,
    SystemMutation,
):
    pass


@strawberry.type(description="What can be followed.")
class Subscription(
    ProjectSubscription,
    RunSubscription,
    AgentSubscription,
    ApprovalSubscription,
    NotificationSubscription,
):
    pass


class DocumentedNames(NameConverter):
    """snake_case fields and lower-case enum values, as the REST documentation spells them."""

    def __init__(self) -> None:
        super().__init__(auto_camel_case=False)

    def from_enum_value(self, enum: StrawberryEnumDefinition, enum_value: EnumValue) -> str:
        return str(enum_value.value)


def graphql_executor(dialect: Dialect | None = None) -> Executor:
    """Executes what GraphQL clients send: camelCase fields, UPPER_CASE enum values."""
    return _once("graphql", dialect, lambda: Executor(graphql_schema(), dialect))


def rest_executor(dialect: Dialect | None = None) -> Executor:
    """Executes the documents behind REST and /ws."""
    return _once("rest", dialect, lambda: Executor(rest_schema(), dialect, to_the_second=True))


@cache
def graphql_schema() -> strawberry.Schema:
    return _schema(NameConverter(), precise)


@cache
def rest_schema() -> strawberry.Schema:
    return _schema(DocumentedNames(), to_the_second)


def sdl() -> str:
    """The GraphQL schema as a file."""
    return graphql_schema().as_str() + "\n"


def rest_sdl() -> str:
    """The schema that the documents of `rest_compat` run against."""
    return rest_schema().as_str() + "\n"


def _once(surface: str, dialect: Dialect | None, make: Callable[[], Executor]) -> Executor:
    """One executor for each kind of database: what it has prepared fits all of that kind."""
    kind = (surface, dialect.name if dialect else None)
    if kind not in _EXECUTORS:
        _EXECUTORS[kind] = make()
    return _EXECUTORS[kind]


_EXECUTORS: dict[tuple[str, str | None], Executor] = {}


def _schema(names: NameConverter, time_text: Callable[[datetime], str]) -> strawberry.Schema:
    config = StrawberryConfig(name_converter=names, scalar_map=scalars(time_text))
    return strawberry.Schema(
        query=Query, mutation=Mutation, subscription=Subscription, config=config
    )
