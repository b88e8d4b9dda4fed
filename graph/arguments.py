"""The arguments of a planned root field: what no variable decides is converted only once."""

from collections.abc import Callable
from dataclasses import MISSING
from types import SimpleNamespace
from typing import Any

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    Visitor,
    get_argument_values,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    visit,
)
from strawberry.types.base import StrawberryMaybe

DEFINITION = "strawberry-definition"

Convert = Callable[[Any, Any], Any]
"""From a value of GraphQL to the resolver's, by the type that Strawberry has for it."""


class Arguments:
    """What the resolver of one field of a document would be given."""

    def __init__(self, field: GraphQLField, node: FieldNode, usual: Convert) -> None:
        self._node = node
        varying = _varying(node)
        constant = {name: one for name, one in field.args.items() if name not in varying}
        changing = {name: one for name, one in field.args.items() if name in varying}
        self._constant = self._converted({}, constant, _parts(constant, usual), None)
        self._changing = changing
        self._parts = _parts(changing, usual)

    def of(self, variables: Any) -> dict[str, Any]:
        """The arguments under these variables. Raises GraphQLError."""
        return self._converted(self._constant, self._changing, self._parts, variables)

    def _converted(
        self,
        known: dict[str, Any],
        arguments: dict[str, GraphQLArgument],
        parts: "list[_Part]",
        variables: Any,
    ) -> dict[str, Any]:
        # Some arguments of a field, in place of the field.
        holder: Any = SimpleNamespace(args=arguments)
        values = get_argument_values(holder, self._node, variables)
        found = known.copy()
        for name, python_name, convert in parts:
            if name in values:
                found[python_name] = convert(values[name])
        return found


_Part = tuple[str, str, Callable[[Any], Any]]


def _varying(node: FieldNode) -> set[str]:
    """The names of the arguments that have a variable in them."""
    found = set()

    class Find(Visitor):
        def enter_variable(self, *_: Any) -> None:
            found.add(argument.name.value)

    for argument in node.arguments or ():
        visit(argument, Find())
    return found


def _parts(arguments: dict[str, GraphQLArgument], usual: Convert) -> list[_Part]:
    return [
        (name, one.extensions[DEFINITION].python_name, _converter(one, usual))
        for name, one in arguments.items()
    ]


def _converter(argument: GraphQLArgument, usual: Convert) -> Callable[[Any], Any]:
    type_ = get_nullable_type(argument.type)
    if is_leaf_type(type_):
        return lambda value: value
    if isinstance(type_, GraphQLInputObjectType) and _is_flat(type_):
        return _flat(type_)
    definition = argument.extensions[DEFINITION]
    return lambda value: usual(value, definition.type)


def _is_flat(type_: GraphQLInputObjectType) -> bool:
    """Whether an input is made of nothing but values that Strawberry takes as they are."""
    if type_.extensions[DEFINITION].from_input is not None:
        return False
    return all(
        _is_plain(field.type) and not isinstance(field.extensions[DEFINITION].type, StrawberryMaybe)
        for field in type_.fields.values()
    )


def _is_plain(type_: GraphQLInputType) -> bool:
    nullable: Any = get_nullable_type(type_)
    return is_leaf_type(nullable) or (
        is_list_type(nullable) and is_leaf_type(get_nullable_type(nullable.of_type))
    )


def _flat(type_: GraphQLInputObjectType) -> Callable[[Any], Any]:
    """What Strawberry does for each value anew, with what it finds out the first time."""
    definition = type_.extensions[DEFINITION]
    names = {name: one.extensions[DEFINITION].python_name for name, one in type_.fields.items()}
    absent = {
        field.python_name: None
        for field in definition.fields
        if field.default_value is MISSING and field.default_factory is MISSING
    }

    def convert(value: dict[str, Any] | None) -> Any:
        if value is None:
            return None
        given = {names[name]: _own(part) for name, part in value.items()}
        return definition.origin(**{**absent, **given})

    return convert


def _own(value: Any) -> Any:
    """A list may be a default, which belongs to everyone."""
    return list(value) if isinstance(value, list) else value
