"""The arguments of a planned root field: what no variable decides is converted only once."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from types import SimpleNamespace
from typing import Any

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    Undefined,
    ValueNode,
    VariableNode,
    VariableValues,
    Visitor,
    get_argument_values,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
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
        self._constant: dict[str, Any] = {}
        self._passed: list[_Passed] = []
        self._built: list[tuple[_Part, GraphQLArgument]] = []
        for name, argument in field.args.items():
            part = _Part(name, argument, usual)
            match varying.get(name):
                case None:
                    self._add(self._constant, part, argument, None)
                case VariableNode() as variable:
                    default = self._default(name, argument)
                    self._passed.append(_Passed(part, argument, variable, default))
                case _:
                    self._built.append((part, argument))

    def of(self, variables: VariableValues) -> dict[str, Any]:
        """The arguments under these variables. Raises GraphQLError."""
        found = self._constant.copy()
        for passed in self._passed:
            passed.add(found, variables.coerced)
        for part, argument in self._built:
            self._add(found, part, argument, variables)
        return found

    def _add(
        self,
        found: dict[str, Any],
        part: "_Part",
        argument: GraphQLArgument,
        variables: VariableValues | None,
    ) -> None:
        values = self._values(part.name, argument, variables)
        if part.name in values:
            part.add(found, values[part.name])

    def _default(self, name: str, argument: GraphQLArgument) -> Any:
        """What is taken without a value for the argument's variable; None where that is wrong."""
        if is_required_argument(argument):
            return None
        return self._values(name, argument, VariableValues({}, {})).get(name, Undefined)

    def _values(
        self, name: str, argument: GraphQLArgument, variables: VariableValues | None
    ) -> dict[str, Any]:
        # One argument of a field, in place of the field.
        holder: Any = SimpleNamespace(args={name: argument})
        return get_argument_values(holder, self._node, variables)


class _Part:
    """One argument: its names, and what makes of its value what the resolver takes."""

    def __init__(self, name: str, argument: GraphQLArgument, usual: Convert) -> None:
        self.name = name
        self._python_name: str = argument.extensions[DEFINITION].python_name
        self._convert = _converter(argument, usual)

    def add(self, found: dict[str, Any], value: Any) -> None:
        found[self._python_name] = self._convert(value) if self._convert else value


class _Passed:
    """An argument that is a variable, as it is: most are."""

    def __init__(
        self, part: _Part, argument: GraphQLArgument, variable: VariableNode, default: Any
    ) -> None:
        self._part = part
        self._variable = variable.name.value
        self._default = default
        self._is_nullable = not is_non_null_type(argument.type)

    def add(self, found: dict[str, Any], coerced: Mapping[str, Any]) -> None:
        value = coerced.get(self._variable, self._default)
        if value is None and not self._is_nullable:
            raise GraphQLError(f"{self._part.name} must not be null")
        if value is not Undefined:
            self._part.add(found, value)


def _varying(node: FieldNode) -> dict[str, ValueNode]:
    """The arguments that have a variable in them, by their names."""
    found: dict[str, ValueNode] = {}

    class Find(Visitor):
        def enter_variable(self, *_: Any) -> None:
            found[argument.name.value] = argument.value

    for argument in node.arguments or ():
        visit(argument, Find())
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
