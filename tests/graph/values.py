"""What hypothesis gives to the arguments of a document: what the small record has, and more."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    Undefined,
    get_named_type,
    get_nullable_type,
)
from hypothesis import strategies as st
from sqlalchemy import Column

from db import tables
from db.listing import Listing, Order
from graph.nouns import NOUNS, SOURCE
from graph.roots import Changed, Got, Listed
from tests.graph.world import ROWS, id_of

NOT_REPEATABLE = {"RUNNING"}
"""A task that is set to running has a duration that depends on when it is looked at."""


def source_of(field: GraphQLField | None) -> Any:
    """How a field is declared; None for one that is resolved by code."""
    definition = field.extensions.get("strawberry-definition") if field else None
    return definition.metadata.get(SOURCE) if definition else None


Words = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class Pools:
    """What an argument may be, by its name; cursors and their sort, by the words of the record."""

    words: Words
    cursors: Mapping[str, list[str]]
    sorts: Mapping[str, str]


def pools_of(found: GraphQLField) -> Pools:
    """What the arguments of a root field may be."""
    source = source_of(found)
    words = dict(WORDS)
    match source:
        case Got(noun=noun) | Changed(noun=noun):
            words["id"] = _ids(NOUNS[noun].table)
            return Pools(words, {}, {})
        case Listed(lists=lists):
            cursors = _cursors(lists.listing)
            words["after"] = words["before"] = cursors[lists.listing.default_order]
            enum = get_named_type(found.args["sort"].type) if "sort" in found.args else None
            assert enum is None or isinstance(enum, GraphQLEnumType)
            sorts = {str(value.value): key for key, value in enum.values.items()} if enum else {}
            return Pools(words, {by: cursors[by] for by in sorts if by in cursors}, sorts)
        case _:
            return Pools(words, {}, {})


def _cursors(listing: Listing) -> dict[str, list[str]]:
    """Cursors of a few rows in each order, by what the order is called; and some that are wrong."""
    table: Any = listing.table
    wrong = ["", "no cursor", "W10="]
    return {
        by: [
            listing.cursor(Order(by), row[column.name], row["id"])
            for row in ROWS.get(table, [])[::4]
        ]
        + wrong
        for by, column in listing.orders.items()
        if isinstance(column, Column)
    }


def _ids(table: Any) -> list[str]:
    """The ids of a table, hidden and deleted rows among them, and two that nobody has."""
    return [*(row["id"] for row in ROWS.get(table, ())), id_of("task", 999)]


WORDS: Words = {
    "project_id": _ids(tables.projects),
    "task_id": _ids(tables.tasks),
    "assigned_to": _ids(tables.users),
    "created_by": _ids(tables.users),
    "user_id": _ids(tables.users),
    "run_id": _ids(tables.runs),
    "command_id": _ids(tables.runs),
    "session_id": _ids(tables.sessions),
    "webhook_id": _ids(tables.webhooks),
    "delivery_id": _ids(tables.deliveries),
    "first": [5, 1, 2, 3, 10, 20, 100, 0],
    "last": [5, 1, 2, 3, 10, 20, 100, 101],
    "page": [1, 1, 2, 3, 1000, 0],
    "page_size": [5, 1, 2, 10, 20, 100, 0],
    "priority": [0, 10, 20, 100, 101, -1],
    "search": [
        "alpha",
        "ÄPFEL",
        "%",
        "t*",
        '"what 4" OR NOT uni',
        "title:task -tags:red",
        "a:b",
        "",
    ],
    "tags": ["red", "größe", "a,b", "", "x"],
    "url": ["https://example.org/hook", "http://10.0.0.1/", "x"],
    "events": ["task.completed", "project.updated", "system.alert"],
    "event": ["task.completed", "ping", "x"],
    "max_tasks": [1, 1000, 0],
    "max_concurrent_tasks": [1, 1000, 0],
}
SCALARS: Mapping[str, Sequence[Any]] = {
    "ID": _ids(tables.tasks),
    "String": ["", "a", 'wörds "of" \\ all\n kinds \u2028 \U0001f600', "x" * 501, "50%"],
    "Int": [0, 1, 2, 50, 100, 2**31 - 1, -1],
    "BigInt": [0, 2**40],
    "Float": [0, 0.5, 1e300],
    "Boolean": [True, False],
    "DateTime": ["2026-01-31T12:03:00Z", "2026-01-31T13:02:00+01:00", "2026-01-31T12:05:00.1Z"],
    "Duration": ["00:00:00", "01:30:00", "999:59:59", "9999:00:00"],
    "JSON": [{}, {"command": "true"}, {"a": [1, 2.5, None, {"b": "€"}]}, [], "text", 1.0],
}


def values_of(type_: Any, name: str, words: Words) -> st.SearchStrategy[Any]:
    """Values of an input type, as JSON has them."""
    if isinstance(type_, GraphQLNonNull):
        return _present(type_.of_type, name, words)
    return st.integers(0, 9).flatmap(
        lambda chance: _present(type_, name, words) if chance else st.none()
    )


def _present(type_: Any, name: str, words: Words) -> st.SearchStrategy[Any]:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    match type_:
        case GraphQLList():
            item = _present(get_nullable_type(type_.of_type), name, words)
            # A single value stands for a list of one.
            return st.one_of(st.lists(item, max_size=3), item)
        case GraphQLInputObjectType():
            return st.fixed_dictionaries(
                {
                    key: values_of(wanted.type, key, words)
                    for key, wanted in type_.fields.items()
                    if is_required(wanted)
                },
                optional={
                    key: values_of(wanted.type, key, words)
                    for key, wanted in type_.fields.items()
                    if not is_required(wanted)
                },
            )
        case GraphQLEnumType():
            names = [key for key in type_.values if key.upper() not in NOT_REPEATABLE]
            return st.sampled_from(words.get("sort", names) if name == "sort" else names)
        case _:
            return st.sampled_from(words.get(snake) or SCALARS[type_.name])


def is_required(wanted: Any) -> bool:
    """Whether an argument or an input's field has to be given."""
    return isinstance(wanted.type, GraphQLNonNull) and wanted.default_value is Undefined


def literal(type_: Any, value: Any) -> str:
    """A value as it is written within a document."""
    type_ = get_nullable_type(type_)
    match type_, value:
        case _, None:
            return "null"
        case GraphQLList(), list():
            return f"[{', '.join(literal(type_.of_type, item) for item in value)}]"
        case GraphQLList(), _:
            return literal(type_.of_type, value)
        case GraphQLEnumType(), _:
            return str(value)
        case GraphQLInputObjectType(), _:
            return _object({key: literal(type_.fields[key].type, value[key]) for key in value})
        case _, dict():
            return _object({key: literal(type_, value[key]) for key in value})
        case _, list():
            return f"[{', '.join(literal(type_, one) for one in value)}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _object(fields: Mapping[str, str]) -> str:
    return f"{{ {', '.join(f'{key}: {text}' for key, text in fields.items())} }}"
