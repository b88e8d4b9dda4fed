"""Operations compiled to plans: SQL made once, rows shaped by columns, bytes at the end.

A plan does what the reference executor does, or it does nothing: whatever it can't do, and
whatever goes wrong in a query, is left to the reference, so that every answer is the reference's.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import structlog
from graphql import (
    SKIP,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationType,
    VariableNode,
    Visitor,
    visit,
)
from sqlalchemy import Dialect

from db.actors import PERMISSIONS, Actor
from db.errors import Problem
from graph.arguments import Arguments, Convert
from graph.given import Misgiven, Variables
from graph.leaves import Leaves
from graph.nouns import SOURCE
from graph.readings import Begun, GotReading, ListedReading
from graph.roots import Changed, Got, Listed
from graph.selections import NotPlannable, Selected, Selections

log = structlog.get_logger(__name__)

MOST_VARIANTS = 32
MOST_OBJECTS = 64
"""Each may be a statement of its own, which takes milliseconds to compile."""
_encode = msgspec.json.Encoder().encode
EXPECTED = (Problem, GraphQLError, LookupError, ValueError)
"""What is wrong with a request, and not with its plan: the row is not there, a value can't be."""


class Unplanned(Exception):
    """The plan leaves this request to the reference executor."""


class Plan:
    """One operation, for one schema on one database."""

    def __init__(
        self,
        schema: GraphQLSchema,
        prepared: Any,
        dialect: Dialect,
        leaves: Leaves,
        convert: Convert,
    ) -> None:
        self._schema = schema
        self._prepared = prepared
        self._variables = Variables(schema, prepared.operation)
        self._dialect = dialect
        self._leaves = leaves
        self._convert = convert
        self._flags = _directive_variables(prepared)
        self._variants: OrderedDict[tuple[bool, ...], list[_Root] | str] = OrderedDict()
        self._is_mutation = prepared.type is OperationType.MUTATION
        if not self._flags:
            self._variant(())

    async def run(
        self, given: dict[str, Any], context: Any
    ) -> tuple[bytes | None, list[GraphQLError]]:
        """The JSON of `data`, and the errors of a mutation.

        Raises `NotPlannable` when these variables select what a plan can't do, `Unplanned` when the
        reference has to do it for another reason; then nothing has happened.
        """
        try:
            variables = self._variables.of(given)
        except Misgiven:
            raise Unplanned from None
        roots = self._variant(self._directed_by(variables) if self._flags else ())
        if self._is_mutation:
            return await self._change(roots[0], variables, context)
        try:
            found = await self._read(roots, variables, context)
            return _encode(found), []
        except EXPECTED:
            # The reference meets the same problem, and says so with path and place.
            raise Unplanned from None
        except Exception:
            log.exception("a plan failed", request_id=context.request_id)
            raise Unplanned from None

    async def _read(
        self, roots: "list[_Root]", variables: Mapping[str, Any], context: Any
    ) -> Mapping[str, Any]:
        if len(roots) == 1:
            (root,) = roots
            begun = root.begin(variables, context.actor)
            if begun.show:
                return {root.key: begun.show(await context.database.fetch(begun.fetch))}
            return {root.key: await context.database.read(begun.read)}
        readings = [(root.key, root.begin(variables, context.actor).read) for root in roots]
        together: Mapping[str, Any] = await context.database.read(lambda: _together(readings))
        return together

    async def _change(
        self, root: "_Root", variables: Any, context: Any
    ) -> tuple[bytes | None, list[GraphQLError]]:
        try:
            arguments = root.arguments.of(variables)
        except (GraphQLError, LookupError):
            raise Unplanned from None
        try:
            root.check(context.actor)
            info = SimpleNamespace(context=context)
            id_ = await root.source.function(None, info, **arguments)
            begun = root.reading.begin({"id": id_}, context.actor)
            shown = await context.database.read(begun.read)
        except Exception as error:  # noqa: BLE001 - as any resolver's, it becomes part of the answer
            located = GraphQLError(str(error), root.node, path=[root.key], original_error=error)
            return None, [located]
        return _encode({root.key: shown}), []

    def _directed_by(self, variables: Mapping[str, Any]) -> tuple[bool, ...]:
        """The values of the directives' variables; with a default one may still be null."""
        flags = [variables.get(name) for name in self._flags]
        if not all(isinstance(flag, bool) for flag in flags):
            raise Unplanned
        return tuple(map(bool, flags))

    def _variant(self, flags: tuple[bool, ...]) -> "list[_Root]":
        """The root fields under these values of the directives' variables."""
        found = self._variants.get(flags)
        if found is None:
            found = self._compiled(dict(zip(self._flags, flags, strict=True)))
            self._variants[flags] = found
            if len(self._variants) > MOST_VARIANTS:
                self._variants.popitem(last=False)
        if isinstance(found, str):
            raise NotPlannable(found)
        return found

    def _compiled(self, flags: Mapping[str, bool]) -> "list[_Root] | str":
        """The root fields, or why there is no plan for them."""
        try:
            return self._roots(flags)
        except NotPlannable as reason:
            return str(reason)

    def _roots(self, flags: Mapping[str, bool]) -> "list[_Root]":
        operation = self._prepared.operation
        parent = self._schema.get_root_type(operation.operation)
        assert parent is not None
        selections = Selections(self._schema, self._prepared.document, flags)
        selected = selections.of(parent, [operation.selection_set])
        if self._is_mutation and len(selected) != 1:
            raise NotPlannable("several mutations, each of which may fail")
        if _objects(selected) > MOST_OBJECTS:
            raise NotPlannable(f"more than {MOST_OBJECTS} objects")
        return [self._root(parent, chosen) for chosen in selected]

    def _root(self, parent: GraphQLObjectType, chosen: Selected) -> "_Root":
        if chosen.name == "__typename":
            raise NotPlannable("__typename at the root")
        field = parent.fields[chosen.node.name.value]
        definition = field.extensions["strawberry-definition"]
        source = definition.metadata.get(SOURCE)
        match source:
            case Got() | Changed():
                reading: Any = GotReading(source, chosen, self._dialect, self._leaves)
            case Listed():
                reading = ListedReading(source, chosen, self._dialect, self._leaves)
            case _:
                raise NotPlannable(f"{chosen.name} is resolved by code")
        return _Root(chosen.key, source, reading, field, chosen.node, self._convert)


class _Root:
    """A root field: who may ask for it, with which arguments, and how it is read."""

    def __init__(
        self,
        key: str,
        source: Any,
        reading: Any,
        field: GraphQLField,
        node: FieldNode,
        convert: Convert,
    ) -> None:
        self.key = key
        self.source = source
        self.reading = reading
        self.node = node
        definition = field.extensions["strawberry-definition"]
        self._permissions = [asked.permission for asked in definition.permission_classes]
        self._roles = {
            role for role, may in PERMISSIONS.items() if may.issuperset(self._permissions)
        }
        self.arguments = Arguments(field, node, convert)

    def begin(self, variables: Mapping[str, Any], actor: Actor) -> Begun:
        """What reads this field, for an actor who may ask for it."""
        if actor.role not in self._roles:
            self.check(actor)
        return self.reading.begin(self.arguments.of(variables), actor)

    def check(self, actor: Actor) -> None:
        """Raises the problem of an actor who may not ask for this."""
        for permission in self._permissions:
            actor.must(permission)


def _together(readings: Sequence[tuple[str, Callable[[], Any]]]) -> Any:
    found = {}
    for key, reading in readings:
        found[key] = yield from reading()
    return found


def _objects(selected: Sequence[Selected]) -> int:
    return sum(1 + _objects(field.selected) for field in selected if field.selected)


def _directive_variables(prepared: Any) -> list[str]:
    names: dict[str, None] = {}

    class Find(Visitor):
        def enter_operation_definition(self, node: Any, *_: Any) -> Any:
            return None if node is prepared.operation else SKIP

        def enter_directive(self, node: Any, *_: Any) -> None:
            for argument in node.arguments or ():
                if isinstance(argument.value, VariableNode):
                    names[argument.value.name.value] = None

    visit(prepared.document, Find())
    return [name for name in names if name in prepared.variables]
