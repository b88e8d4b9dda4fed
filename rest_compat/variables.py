"""From the words of a request to the variables that an operation declares."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    get_nullable_type,
    is_required_input_field,
)

from graph.execution import Variable
from rest_compat.envelope import malformed, required

INPUT = "input"
HERE = "here"

_ISSUES = {
    "Int": "Must be a whole number of at most 32 bits",
    "Float": "Must be a number",
    "Boolean": "Must be true or false",
    "String": "Must be text",
    "ID": "Must be an id",
}
_WHOLE_NUMBER = re.compile(r"-?\d{1,10}", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)


def collect(
    declared: Mapping[str, Variable],
    path: Mapping[str, str],
    query: Mapping[str, Sequence[str]],
    body: Mapping[str, Any],
) -> dict[str, Any]:
    """The values of the declared variables, each checked against its type.

    A variable named `input` is the whole body, one named `here` the request's own address; any
    other is the word of its name in the path, the query or the body, in this order. Only words
    that are there become variables, so that absent and null stay apart. Words that no variable or
    input field has are ignored: existing clients may send more than is documented.

    A list in the query is repeated or separated by commas. Raises `Refusal`, naming the field
    (`resource_limits.max_tasks`) and the issue.
    """
    found: dict[str, Any] = {}
    for name, variable in declared.items():
        if name == INPUT:
            found[name] = _checked(variable.type, body, "")
        elif name in path:
            found[name] = _from_text(variable.type, [path[name]], name)
        elif name in query:
            found[name] = _from_text(variable.type, query[name], name)
        elif name in body:
            found[name] = _checked(variable.type, body[name], name)
        elif isinstance(variable.type, GraphQLNonNull) and not variable.has_default:
            raise required(name)
    return found


def _from_text(type_: GraphQLInputType, texts: Sequence[str], field: str) -> Any:
    nullable: Any = get_nullable_type(type_)
    if nullable is GraphQLID:
        return _leaf(nullable, texts[-1], field)
    if not isinstance(nullable, GraphQLList):
        return _checked(nullable, _literal(nullable, texts[-1]), field)
    item_type = get_nullable_type(nullable.of_type)
    items = [item.strip() for text in texts for item in text.split(",")]
    return [_checked(item_type, _literal(item_type, item), field) for item in items if item]


def _literal(type_: Any, text: str) -> Any:
    """What the text says in a type of JSON; as it is, to be refused, when it does not."""
    match type_.name:
        case "Int" if _WHOLE_NUMBER.fullmatch(text):
            return int(text)
        case "Float" if _NUMBER.fullmatch(text):
            return float(text)
        case "Boolean" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case _:
            return text


def _checked(type_: Any, value: Any, field: str) -> Any:
    if isinstance(type_, GraphQLNonNull):
        if value is None:
            raise required(field)
        type_ = type_.of_type
    if value is None:
        return None
    match type_:
        case GraphQLList():
            if not isinstance(value, list):
                raise malformed(field, "Must be a list")
            return [
                _checked(type_.of_type, item, f"{field}.{place}")
                for place, item in enumerate(value)
            ]
        case GraphQLInputObjectType():
            return _object(type_, value, field)
        case _:
            return _leaf(type_, value, field)


def _object(type_: GraphQLInputObjectType, value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(field, "Must be an object")
    found: dict[str, Any] = {}
    for name, wanted in type_.fields.items():
        dotted = f"{field}.{name}" if field else name
        if name in value:
            found[name] = _checked(wanted.type, value[name], dotted)
        elif is_required_input_field(wanted):
            raise required(dotted)
    return found


def _leaf(type_: Any, value: Any, field: str) -> Any:
    if isinstance(value, str) and "\0" in value:
        raise malformed(field, "Must be text without NUL")
    if type_ is GraphQLID:
        if not isinstance(value, str):
            raise malformed(field, _ISSUES["ID"])
        return value
    try:
        type_.coerce_input_value(value)
    except (GraphQLError, ValueError, TypeError, ArithmeticError) as error:
        raise malformed(field, _issue(type_, error)) from None
    return value


def _issue(type_: Any, error: Exception) -> str:
    if isinstance(type_, GraphQLEnumType):
        return f"Must be one of: {', '.join(type_.values)}"
    return _ISSUES.get(type_.name) or str(error)
