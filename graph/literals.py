"""Values in a document, with variables in them: how to make each is found out once."""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    VariableValues,
    Visitor,
    coerce_input_literal,
    get_nullable_type,
    is_non_null_type,
    visit,
)
from graphql.utilities.coerce_input_value import coerce_default_value

Make = Callable[[Mapping[str, Any]], Any]
"""From the coerced variables of a request to a value; `Undefined` where there is none."""


def given(declared: GraphQLArgument | GraphQLInputField, node: ValueNode | None) -> Make:
    """What an argument or a field of an input gets. Raises GraphQLError where that is wrong."""
    default = coerce_default_value(declared)
    is_required = is_non_null_type(declared.type) and default is Undefined
    if is_required and isinstance(node, VariableNode):
        return _required(node.name.value)
    make = _made(node, declared.type) if node else None
    if make and default is Undefined and not is_required:
        return make

    def find(variables: Mapping[str, Any]) -> Any:
        found = make(variables) if make else Undefined
        if found is not Undefined:
            return found
        if is_required:
            raise GraphQLError("A value is missing")
        return default

    return find


def varies(node: ValueNode | None) -> bool:
    """Whether there is a variable in it."""
    found = []

    class Find(Visitor):
        def enter_variable(self, variable: VariableNode, *_: Any) -> None:
            found.append(variable)

    if node:
        visit(node, Find())
    return bool(found)


def _made(node: ValueNode, type_: GraphQLInputType) -> Make:
    nullable = get_nullable_type(type_)
    if isinstance(node, VariableNode):
        return _variable(node.name.value, is_nullable=nullable is type_)
    if not varies(node):
        constant = _literal(node, type_, {})
        return lambda _: constant
    match node, nullable:
        case ObjectValueNode(), GraphQLInputObjectType(is_one_of=False):
            return _object(node, nullable)
        case _:
            return lambda variables: _literal(node, type_, variables)


def _variable(name: str, *, is_nullable: bool) -> Make:
    def find(variables: Mapping[str, Any]) -> Any:
        found = variables.get(name, Undefined)
        if found is None and not is_nullable:
            raise GraphQLError(f"${name} must not be null")
        return found

    return find


def _required(name: str) -> Make:
    def find(variables: Mapping[str, Any]) -> Any:
        found = variables.get(name)
        if found is None:
            raise GraphQLError(f"${name} must have a value")
        return found

    return find


def _object(node: ObjectValueNode, type_: GraphQLInputObjectType) -> Make:
    nodes = {field.name.value: field.value for field in node.fields}
    fields = [
        (field.out_name or name, given(field, nodes.get(name)))
        for name, field in type_.fields.items()
    ]

    def make(variables: Mapping[str, Any]) -> Any:
        made = {}
        for name, find in fields:
            found = find(variables)
            if found is not Undefined:
                made[name] = found
        return type_.out_type(made)

    return make


def _literal(node: ValueNode, type_: GraphQLInputType, variables: Mapping[str, Any]) -> Any:
    found = coerce_input_literal(node, type_, VariableValues({}, dict(variables)))
    if found is Undefined:
        raise GraphQLError("A value does not fit its type", node)
    return found
