"""Documents that hypothesis writes from the schema, with arguments that find something."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    SelectionSetNode,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)
from hypothesis import strategies as st

from graph.execution import Prepared
from graph.roots import Changed, Got, Listed
from tests.graph.values import WORDS, Words, is_required, literal, pools_of, source_of, values_of

DEEPEST = 4
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
    values = {
        name: values_of(variable.type, name, WORDS) for name, variable in prepared.variables.items()
    }
    required = {
        name: values[name]
        for name, variable in prepared.variables.items()
        if isinstance(variable.type, GraphQLNonNull) and not variable.has_default
    }
    optional = {name: value for name, value in values.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def is_declared(schema: GraphQLSchema, prepared: Prepared) -> bool:
    """Whether all that stands at the root is declared for plans."""
    root = schema.get_root_type(prepared.type)
    assert root

    def declared(selections: SelectionSetNode) -> bool:
        return all(
            source_of(root.fields.get(selection.name.value)) is not None
            if isinstance(selection, FieldNode)
            else declared(_below(prepared, selection))
            for selection in selections.selections
        )

    return declared(prepared.operation.selection_set)


def _below(prepared: Prepared, selection: Any) -> SelectionSetNode:
    if isinstance(selection, InlineFragmentNode):
        return selection.selection_set
    return next(
        definition.selection_set
        for definition in prepared.document.definitions
        if isinstance(definition, FragmentDefinitionNode)
        and definition.name.value == selection.name.value
    )


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
    return [name for name, field in root.fields.items() if isinstance(source_of(field), kind)]


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
        some = st.lists(st.sampled_from([*names, "__typename"]), min_size=1, max_size=6)
        return f" {{ {' '.join(self.field(type_, name, depth) for name in self.draw(some))} }}"

    def _alias(self, name: str) -> str:
        return str(self.draw(st.sampled_from(("", "", "", f"other_{name}: "))))

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
        pools = pools_of(found)
        if "sort" in found.args:
            by = self.draw(st.sampled_from(sorted(pools.cursors)))
            pools.words["after"] = pools.words["before"] = pools.cursors[by]
            pools.words["sort"] = [pools.sorts[by]]
        given = {
            argument: self._argument(argument, wanted, pools.words)
            for argument, wanted in found.args.items()
            if is_required(wanted) or argument == "sort" or not self.draw(st.integers(0, 2))
        }
        return f"({', '.join(f'{key}: {text}' for key, text in given.items())})" if given else ""

    def _argument(self, name: str, wanted: GraphQLArgument, words: Words) -> str:
        """A literal, a variable, or a literal that has variables in it."""
        if not self.draw(st.integers(0, 2)):
            return self._given(wanted, name, words)
        type_ = get_nullable_type(wanted.type)
        if isinstance(type_, GraphQLInputObjectType):
            fields = {
                name: self._argument(name, wanted, words)
                for name, wanted in type_.fields.items()
                if is_required(wanted) or not self.draw(st.integers(0, 3))
            }
            return f"{{ {', '.join(f'{key}: {text}' for key, text in fields.items())} }}"
        return literal(wanted.type, self.draw(values_of(wanted.type, name, words)))

    def _given(self, wanted: Any, name: str, words: Words) -> str:
        """A variable with a value, or with a default, or without either where that may be."""
        type_ = wanted.type
        has_default = wanted.default_value is not Undefined
        if has_default and self.draw(st.booleans()):
            type_ = get_nullable_type(type_)
        value = self.draw(values_of(type_, name, words))
        if isinstance(type_, GraphQLNonNull):
            return self._variable(str(type_), value)
        match self.draw(st.integers(0, 3)):
            case 0:
                return self._variable(str(type_))
            case 1:
                default = self.draw(values_of(get_nullable_type(type_), name, words))
                return self._variable(f"{type_} = {literal(type_, default)}")
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
