"""Documents that hypothesis writes from the schema, with arguments that find something."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)
from hypothesis import strategies as st
from sqlalchemy import Column

from db import tables
from db.listing import Listing, Order
from graph.execution import Prepared
from graph.nouns import NOUNS, SOURCE
from graph.roots import Changed, Got, Listed
from tests.graph.world import ROWS, id_of

DEEPEST = 4
NOT_REPEATABLE = {"RUNNING"}
"""A task that is set to running has a duration that depends on when it is looked at."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class Request:
    """A document and the values of its variables."""

    document: str
    variables: Mapping[str, Any]


def queries(schema: GraphQLSchema) -> st.SearchStrategy[Request]:
    """Queries: of what plans can read, and a little of what they can't."""
    assert schema.query_type
    planned = _sourced(schema.query_type, Got | Listed)
    names = [*planned, *planned, *planned, "viewer", "__typename", "__schema"]
    return _requests(schema, "query", schema.query_type, names, st.sampled_from((1, 1, 1, 2, 3)))


def mutations(schema: GraphQLSchema) -> st.SearchStrategy[Request]:
    """One change to a row, answered with that row."""
    assert schema.mutation_type
    names = _sourced(schema.mutation_type, Changed)
    return _requests(schema, "mutation", schema.mutation_type, names, st.just(1))


def variables_of(prepared: Prepared) -> st.SearchStrategy[Mapping[str, Any]]:
    """Values for the variables of a document of ours."""
    required, optional = {}, {}
    for name, variable in prepared.variables.items():
        is_required = isinstance(variable.type, GraphQLNonNull) and not variable.has_default
        values = _values(variable.type, name, WORDS)
        (required if is_required else optional)[name] = values
    return st.fixed_dictionaries(required, optional=optional)


def _requests(
    schema: GraphQLSchema,
    word: str,
    root: GraphQLObjectType,
    names: Sequence[str],
    how_many: st.SearchStrategy[int],
) -> st.SearchStrategy[Request]:
    @st.composite
    def write(draw: Draw) -> Request:
        writer = _Writer(schema, draw)
        chosen = [draw(st.sampled_from(names)) for _ in range(draw(how_many))]
        selections = " ".join(writer.field(root, name, 0) for name in chosen)
        declared = f"({', '.join(writer.declarations)})" if writer.declarations else ""
        document = [f"{word} Q{declared} {{ {selections} }}", *writer.fragments]
        return Request("\n".join(document), writer.variables)

    return write()


def _sourced(root: GraphQLObjectType, kind: Any) -> list[str]:
    return [name for name, field in root.fields.items() if isinstance(_source(field), kind)]


def _source(field: GraphQLField) -> Any:
    definition = field.extensions.get("strawberry-definition")
    return definition.metadata.get(SOURCE) if definition else None


@dataclass
class _Writer:
    schema: GraphQLSchema
    draw: Draw
    declarations: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    fragments: list[str] = field(default_factory=list)
    written: int = 0

    def field(self, parent: GraphQLObjectType, name: str, depth: int) -> str:
        """A field, at times under another name, under a condition or within a fragment."""
        if name == "__typename":
            return self._dressed(parent, self._alias(name) + name)
        if name == "__schema":
            return "__schema { queryType { name } }"
        found = parent.fields[name]
        arguments = self._arguments(name, found)
        # The same name with other arguments is a conflict: a fresh one for each.
        alias = f"{name}_{self._number()}: " if arguments else self._alias(name)
        below = self._selection(get_named_type(found.type), depth + 1)
        return self._dressed(parent, f"{alias}{name}{arguments}{self._condition()}{below}")

    def _selection(self, type_: Any, depth: int) -> str:
        if is_leaf_type(type_):
            return ""
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            one = self.draw(st.sampled_from(self.schema.get_possible_types(type_)))
            return f" {{ __typename ... on {one.name}{self._selection(one, depth)} }}"
        names = [
            name
            for name, field in type_.fields.items()
            if depth < DEEPEST or is_leaf_type(get_named_type(field.type))
        ]
        chosen = self.draw(st.lists(st.sampled_from([*names, "__typename"]), min_size=1, max_size=6))
        return " { " + " ".join(self.field(type_, name, depth) for name in chosen) + " }"

    def _alias(self, name: str) -> str:
        return self.draw(st.sampled_from(("", "", "", f"other_{name}: ")))

    def _dressed(self, parent: GraphQLObjectType, text: str) -> str:
        match self.draw(st.integers(0, 15)):
            case 0:
                return f"... on {parent.name}{self._condition()} {{ {text} }}"
            case 1:
                return f"...{self._condition()} {{ {text} }}"
            case 2 | 3:
                name = f"F{self._number()}"
                self.fragments.append(f"fragment {name} on {parent.name} {{ {text} }}")
                return f"...{name}{self._condition()} ...{name}"
            case _:
                return text

    def _condition(self) -> str:
        if self.draw(st.integers(0, 11)):
            return ""
        word = self.draw(st.sampled_from(("include", "skip")))
        given = self.draw(st.booleans())
        if self.draw(st.booleans()):
            return f" @{word}(if: {json.dumps(given)})"
        return f" @{word}(if: {self._variable('Boolean!', given)})"

    def _arguments(self, name: str, found: GraphQLField) -> str:
        pools = _pools(name, found)
        if "sort" in found.args:
            by = self.draw(st.sampled_from(sorted(pools.cursors)))
            pools.words["after"] = pools.words["before"] = pools.cursors[by]
            pools.words["sort"] = [pools.sorts[by]]
        given = {
            argument: self._argument(argument, wanted, pools.words)
            for argument, wanted in found.args.items()
            if _is_required(wanted) or argument == "sort" or not self.draw(st.integers(0, 2))
        }
        return f"({', '.join(f'{key}: {text}' for key, text in given.items())})" if given else ""

    def _argument(self, name: str, wanted: GraphQLArgument, words: "Words") -> str:
        """A literal, a variable, or a literal that has variables in it."""
        if not self.draw(st.integers(0, 2)):
            return self._given(wanted, name, words)
        type_ = get_nullable_type(wanted.type)
        if isinstance(type_, GraphQLInputObjectType):
            fields = {
                name: self._argument(name, wanted, words)
                for name, wanted in type_.fields.items()
                if _is_required(wanted) or not self.draw(st.integers(0, 3))
            }
            return f"{{ {', '.join(f'{key}: {text}' for key, text in fields.items())} }}"
        return _literal(wanted.type, self.draw(_values(wanted.type, name, words)))

    def _given(self, wanted: Any, name: str, words: "Words") -> str:
        """A variable with a value, or with a default, or without either where that may be."""
        type_ = wanted.type
        has_default = wanted.default_value is not Undefined
        if has_default and self.draw(st.booleans()):
            type_ = get_nullable_type(type_)
        value = self.draw(_values(type_, name, words))
        if isinstance(type_, GraphQLNonNull):
            return self._variable(str(type_), value)
        match self.draw(st.integers(0, 3)):
            case 0:
                return self._variable(str(type_))
            case 1:
                default = self.draw(_values(get_nullable_type(type_), name, words))
                return self._variable(f"{type_} = {_literal(type_, default)}")
            case _:
                return self._variable(str(type_), value)

    def _variable(self, type_: str, *values: Any) -> str:
        name = f"v{self._number()}"
        self.declarations.append(f"${name}: {type_}")
        if values:
            self.variables[name] = values[0]
        return f"${name}"

    def _number(self) -> int:
        self.written += 1
        return self.written


Words = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class _Pools:
    """What an argument may be, by its name; cursors and their sort, by the words of the record."""

    words: Words
    cursors: Mapping[str, list[str]]
    sorts: Mapping[str, str]


def _pools(name: str, found: GraphQLField) -> _Pools:
    source = _source(found)
    words = dict(WORDS)
    match source:
        case Got(noun=noun) | Changed(noun=noun):
            words["id"] = _ids(NOUNS[noun].table)
            return _Pools(words, {}, {})
        case Listed(lists=lists):
            cursors = _cursors(lists.listing)
            words["after"] = words["before"] = cursors[lists.listing.default_order]
            enum = get_named_type(found.args["sort"].type) if "sort" in found.args else None
            assert enum is None or isinstance(enum, GraphQLEnumType)
            sorts = {str(value.value): key for key, value in enum.values.items()} if enum else {}
            return _Pools(words, {by: cursors[by] for by in sorts if by in cursors}, sorts)
        case _:
            return _Pools(words, {}, {})


def _cursors(listing: Listing) -> dict[str, list[str]]:
    """Cursors of a few rows in each order, by what the order is called; and some that are wrong."""
    wrong = ["", "no cursor", "W10="]
    return {
        by: [
            listing.cursor(Order(by), row[column.name], row["id"])
            for row in ROWS.get(listing.table, [])[::4]
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
    "first": [5, 1, 2, 3, 10, 20, 100, 0],
    "last": [5, 1, 2, 3, 10, 20, 100, 101],
    "page": [1, 1, 2, 3, 1000, 0],
    "page_size": [5, 1, 2, 10, 20, 100, 0],
    "priority": [0, 10, 20, 100, 101, -1],
    "search": ["alpha", "ÄPFEL", "%", "_", "/", "'", "t", ""],
    "tags": ["red", "größe", "a,b", "", "x"],
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


def _values(type_: Any, name: str, words: Words) -> st.SearchStrategy[Any]:
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
                    key: _values(wanted.type, key, words)
                    for key, wanted in type_.fields.items()
                    if _is_required(wanted)
                },
                optional={
                    key: _values(wanted.type, key, words)
                    for key, wanted in type_.fields.items()
                    if not _is_required(wanted)
                },
            )
        case GraphQLEnumType():
            names = [key for key in type_.values if key.upper() not in NOT_REPEATABLE]
            return st.sampled_from(words.get("sort", names) if name == "sort" else names)
        case _:
            return st.sampled_from(words.get(snake) or SCALARS[type_.name])


def _is_required(wanted: Any) -> bool:
    return isinstance(wanted.type, GraphQLNonNull) and wanted.default_value is Undefined


def _literal(type_: Any, value: Any) -> str:
    type_ = get_nullable_type(type_)
    match type_, value:
        case _, None:
            return "null"
        case GraphQLList(), list():
            return f"[{', '.join(_literal(type_.of_type, item) for item in value)}]"
        case GraphQLList(), _:
            return _literal(type_.of_type, value)
        case GraphQLEnumType(), _:
            return str(value)
        case GraphQLInputObjectType(), _:
            texts = (f"{key}: {_literal(type_.fields[key].type, one)}" for key, one in value.items())
            return f"{{ {', '.join(texts)} }}"
        case _, dict():
            texts = (f"{key}: {_literal(type_, one)}" for key, one in value.items())
            return f"{{ {', '.join(texts)} }}"
        case _, list():
            return f"[{', '.join(_literal(type_, one) for one in value)}]"
        case _:
            return json.dumps(value, ensure_ascii=False)
