"""The arguments of a planned root field: what no variable decides is converted only once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    Undefined,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
)
from strawberry.types.base import StrawberryMaybe

from graph.literals import Make, given, varies

DEFINITION = "strawberry-definition"

Convert = Callable[[Any, Any], Any]
"""From a value of GraphQL to the resolver's, by the type that Strawberry has for it."""


class Arguments:
    """What the resolver of one field of a document would be given."""

    def __init__(self, field: GraphQLField, node: FieldNode, usual: Convert) -> None:
        values = {argument.name.value: argument.value for argument in node.arguments or ()}
        self._changing: list[_Taken] = []
        constant: list[_Taken] = []
        for name, argument in field.args.items():
            value = values.get(name)
            python_name = argument.extensions[DEFINITION].python_name
            taken = _Taken(python_name, given(argument, value), _converter(argument, usual))
            (self._changing if varies(value) else constant).append(taken)
        self._constant = _made(constant, {}, {})

    def of(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments under these variables. Raises GraphQLError."""
        return _made(self._changing, variables, self._constant)


class _Taken(NamedTuple):
    """One argument, as the resolver takes it."""

    name: str
    make: Make
    convert: Callable[[Any], Any] | None


def _made(
    arguments: Iterable[_Taken], variables: Mapping[str, Any], others: Mapping[str, Any]
) -> dict[str, Any]:
    found = {**others}
    for name, make, convert in arguments:
        value = make(variables)
        if value is not Undefined:
            found[name] = convert(value) if convert else value
    return found


def _converter(argument: GraphQLArgument, usual: Convert) -> Callable[[Any], Any] | None:
    type_ = get_nullable_type(argument.type)
    if is_leaf_type(type_):
        return None
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
