"""Prepares operations once and executes them: by their plan, or through graphql-core."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import msgspec
import orjson
import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    execute,
    parse,
    specified_rules,
    subscribe,
    type_from_ast,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from sqlalchemy import Dialect
from strawberry.schema import Schema
from strawberry.types.arguments import convert_argument

from db import tracing
from db.errors import Problem
from db.tallies import Tally
from graph.bounds import check_bounds
from graph.leaves import Leaves
from graph.plain_text import check_variables, holds_nul
from graph.plans import Plan, Unplanned
from graph.selections import NotPlannable

log = structlog.get_logger(__name__)

OPERATIONS = Tally(
    "graphql_operations",
    "Operations by first field, and by how they were executed.",
    ["field", "executor"],
)
MOST_PREPARED = 1024
MOST_CHARACTERS = 1_000_000
"""Of the documents that are remembered; each takes some hundred times as many bytes."""
MOST_TOKENS = 5_000
LONGEST_DOCUMENT = 100_000
# The schema has no @defer and @stream: their rules, a third of the work, have nothing to find.
RULES = [rule for rule in specified_rules if not rule.__name__.startswith("DeferStream")]
# Whether fields can be merged is found by comparing all of one name with each other.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 100_000


class Refused(Exception):
    """The document can't be executed: it does not parse, is not valid or asks for too much."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        self.errors = errors
        super().__init__("; ".join(error.message for error in errors))

    def formatted(self, request_id: str) -> list[dict[str, Any]]:
        """The errors as a response shows them."""
        return [
            {**error.formatted, "extensions": {"code": _code_of(error), "requestId": request_id}}
            for error in self.errors
        ]


@dataclass(frozen=True)
class Variable:
    """A variable that an operation declares."""

    type: GraphQLInputType
    has_default: bool


@dataclass(frozen=True, eq=False)
class Prepared:
    """One operation of a document that was parsed and validated."""

    name: str | None
    type: OperationType
    operation: OperationDefinitionNode
    document: DocumentNode
    variables: Mapping[str, Variable]
    compile: Callable[["Prepared"], Plan | None]

    @cached_property
    def plan(self) -> Plan | None:
        """How it is carried out without the reference executor; None when only that can."""
        return self.compile(self)

    @cached_property
    def label(self) -> str:
        """A name from a bounded set: the first field, for the operation's name is the client's."""
        first = self.operation.selection_set.selections[0]
        return first.name.value if isinstance(first, FieldNode) else "fragment"

    @cached_property
    def span(self) -> str:
        """What its spans are called."""
        return f"graphql {self.label}"


class Answer(msgspec.Struct):
    """What an operation gave: the JSON of its `data`, and its errors as they are shown."""

    data: bytes | None
    errors: list[dict[str, Any]] = []

    def body(self) -> bytes:
        """The response as GraphQL over HTTP has it."""
        errors = b'"errors":%b,' % orjson.dumps(self.errors) if self.errors else b""
        return b"".join((b"{", errors, b'"data":', self.data or b"null", b"}"))


class Executor:
    """Executes operations on one schema; on a known dialect, by plans as far as they go."""

    def __init__(
        self, schema: Schema, dialect: Dialect | None = None, *, to_the_second: bool = False
    ) -> None:
        self.schema: GraphQLSchema = schema._schema
        self._strawberry = schema
        self._dialect = dialect
        self._to_the_second = to_the_second
        self._executor_class = schema.execution_context_class
        self._prepared: OrderedDict[tuple[str, str | None], Prepared] = OrderedDict()
        self._characters = 0

    def prepare(self, text: str, operation_name: str | None = None) -> Prepared:
        """Parse and validate a document; what was prepared lately is remembered.

        Raises `Refused`.
        """
        key = (text, operation_name)
        if found := self._prepared.get(key):
            self._prepared.move_to_end(key)
            return found
        prepared = self._checked(text, operation_name)
        self._prepared[key] = prepared
        self._characters += len(text)
        while len(self._prepared) > MOST_PREPARED or self._characters > MOST_CHARACTERS:
            (forgotten, _), _ = self._prepared.popitem(last=False)
            self._characters -= len(forgotten)
        return prepared

    def execute(
        self, prepared: Prepared, variables: dict[str, Any], context: Any
    ) -> Awaitable[Answer]:
        """Carry out a query or a mutation: by its plan, else by the reference."""
        done = self._execute(prepared, variables, context)
        return tracing.traced(done, prepared.span, request_id=context.request_id)

    async def _execute(self, prepared: Prepared, variables: dict[str, Any], context: Any) -> Answer:
        try:
            check_variables(variables)
        except Problem as problem:
            return Answer(None, [problem_shown(problem, context.request_id)])
        executor = "reference"
        # Who may ask for nothing has nothing compiled.
        if context.actor and (plan := prepared.plan):
            try:
                data, errors = await plan.run(variables, context)
            except NotPlannable:
                pass
            except Unplanned:
                executor = "fallback"
            else:
                OPERATIONS.counts[prepared.label, "plan"] += 1
                if not errors:
                    return Answer(data)
                return Answer(data, [_shown(error, context.request_id) for error in errors])
        OPERATIONS.counts[prepared.label, executor] += 1
        return await self.execute_by_reference(prepared, variables, context)

    async def execute_by_reference(
        self, prepared: Prepared, variables: dict[str, Any], context: Any
    ) -> Answer:
        """Carry out a query or a mutation through graphql-core and the resolvers."""
        result = await self._done(execute, prepared, variables, context)
        return answer_of(result, context.request_id)

    async def subscribe(
        self, prepared: Prepared, variables: dict[str, Any], context: Any
    ) -> AsyncGenerator[Answer, None]:
        """Carry out a subscription: an answer for each event, until it ends or is closed."""
        try:
            check_variables(variables)
        except Problem as problem:
            yield Answer(None, [problem_shown(problem, context.request_id)])
            return
        results = await self._done(subscribe, prepared, variables, context)
        if isinstance(results, ExecutionResult):
            yield answer_of(results, context.request_id)
            return
        async with aclosing(cast(AsyncGenerator[ExecutionResult, None], results)) as events:
            try:
                async for result in events:
                    yield answer_of(result, context.request_id)
            except Problem as problem:
                # Resolvers of subscriptions begin with the first event: too late for a result.
                yield Answer(None, [problem_shown(problem, context.request_id)])
            except Exception:
                log.exception("a subscription failed", request_id=context.request_id)
                yield Answer(None, [accident_shown(context.request_id)])

    async def _done(
        self,
        do: Callable[..., Any],
        prepared: Prepared,
        variables: dict[str, Any],
        context: Any,
    ) -> Any:
        """What graphql-core makes of it."""
        found = do(
            self.schema,
            prepared.document,
            context_value=context,
            variable_values=variables,
            operation_name=prepared.name,
            executor_class=self._executor_class,
            operation_extensions={},
        )
        return await found if isinstance(found, Awaitable) else found

    def _planned(self, prepared: Prepared) -> Plan | None:
        if self._dialect is None or prepared.type is OperationType.SUBSCRIPTION:
            return None
        leaves = Leaves(self._dialect, to_the_second=self._to_the_second)
        try:
            return Plan(self.schema, prepared, self._dialect, leaves, self._convert)
        except NotPlannable:
            return None

    def _convert(self, value: Any, type_: Any) -> Any:
        converter = self._strawberry.schema_converter
        return convert_argument(value, type_, converter.scalar_registry, self._strawberry.config)

    def _checked(self, text: str, operation_name: str | None) -> Prepared:
        try:
            if len(text) > LONGEST_DOCUMENT:
                raise GraphQLError(f"The document is longer than {LONGEST_DOCUMENT} characters")
            if holds_nul(text):
                raise GraphQLError("The document must not contain NUL")
            document = parse(text, max_tokens=MOST_TOKENS)
            check_bounds(document, self.schema)
            operation = _chosen(document, operation_name)
        except GraphQLError as error:
            raise Refused([error]) from None
        except RecursionError:
            raise Refused([GraphQLError("The document is nested too deeply")]) from None
        if errors := validate(self.schema, document, RULES, max_errors=20):
            raise Refused([_explained(error) for error in errors])
        return Prepared(
            operation.name.value if operation.name else None,
            operation.operation,
            operation,
            document,
            {
                definition.variable.name.value: Variable(
                    type_from_ast(self.schema, definition.type),  # type: ignore[arg-type]
                    definition.default_value is not None,
                )
                for definition in operation.variable_definitions or ()
            },
            self._planned,
        )


def answer_of(result: ExecutionResult, request_id: str) -> Answer:
    """A result of graphql-core as it is answered; what nobody expected is logged and masked."""
    errors = [_shown(error, request_id) for error in result.errors or ()]
    return Answer(None if result.data is None else orjson.dumps(result.data), errors)


def problem_shown(problem: Problem, request_id: str) -> dict[str, Any]:
    """A Problem as a GraphQL error."""
    extensions = {"code": problem.code, "details": problem.details, "requestId": request_id}
    return {"message": problem.message, "extensions": extensions}


def accident_shown(request_id: str) -> dict[str, Any]:
    """What is said of an error that nobody expected; the log knows more."""
    extensions = {"code": "INTERNAL_ERROR", "requestId": request_id}
    return {"message": "Internal server error", "extensions": extensions}


def _shown(error: GraphQLError, request_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = {**error.formatted}
    original = _original(error)
    if isinstance(original, Problem):
        return shown | problem_shown(original, request_id)
    # An error without a path is the request's: its variables do not fit.
    if original is None or error.path is None:
        return shown | {"extensions": {"code": _code_of(error), "requestId": request_id}}
    log.error("a resolver failed", request_id=request_id, path=error.path, exc_info=original)
    return shown | accident_shown(request_id)


def _original(error: GraphQLError) -> Exception | None:
    original = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    return original


def _explained(error: GraphQLError) -> GraphQLError:
    if error.message == "Validation aborted.":
        return GraphQLError("The document has too many fields of the same name in one place")
    return error


def _code_of(error: GraphQLError) -> str:
    if error.message.startswith("Syntax Error"):
        return "GRAPHQL_PARSE_FAILED"
    return "VALIDATION_ERROR"


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [
        definition
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    if name is None and len(operations) > 1:
        raise GraphQLError("Must provide operation name if query contains multiple operations.")
    for operation in operations:
        if name is None or (operation.name and operation.name.value == name):
            return operation
    raise GraphQLError(
        f"Unknown operation named '{name}'." if name else "The document has no operation."
    )
