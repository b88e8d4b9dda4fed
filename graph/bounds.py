"""Bounds on a document, checked in one pass before anything walks it more than once."""

from collections.abc import Mapping
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLNamedType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

DEEPEST = 15
MOST_FIELDS = 2_000
"""Fields once fragments are spread out: what bounds the work of validation and execution."""
MOST_NESTED_LISTS = 3
"""Lists within lists: what bounds an answer, which each of them multiplies."""


def check_bounds(document: DocumentNode, schema: GraphQLSchema) -> None:
    """Raises `GraphQLError` for operations that are too deep or too large when spread out.

    Introspection is deeper than that by itself; GraphiQL's stays within the bounds.
    """
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    measure = _Measure(schema, fragments)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            root = schema.get_root_type(definition.operation)
            size = measure.of(definition.selection_set, root)
            if size.depth > DEEPEST:
                raise GraphQLError(f"The operation is nested deeper than {DEEPEST} levels")
            if size.fields > MOST_FIELDS:
                raise GraphQLError(f"The operation selects more than {MOST_FIELDS} fields")
            if size.lists > MOST_NESTED_LISTS:
                raise GraphQLError(f"The operation nests more than {MOST_NESTED_LISTS} lists")


class _Size(NamedTuple):
    depth: int = 0
    fields: int = 0
    lists: int = 0

    def beside(self, other: "_Size") -> "_Size":
        return _Size(
            max(self.depth, other.depth),
            self.fields + other.fields,
            max(self.lists, other.lists),
        )


class _Measure:
    """Sizes of selections; each fragment is measured once, however often it is spread.

    What is not in the schema is measured as far as that goes: validation refuses it.
    """

    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._measured: dict[str, _Size] = {}

    def of(self, selections: SelectionSetNode, parent: GraphQLNamedType | None) -> _Size:
        size = _Size()
        for selection in selections.selections:
            match selection:
                case FieldNode():
                    found = self._of_field(selection, parent)
                case InlineFragmentNode(type_condition=condition, selection_set=nested):
                    found = self.of(nested, self._named(condition) if condition else parent)
                case FragmentSpreadNode(name=name):
                    found = self._of_fragment(name.value)
                case _:
                    found = _Size()
            size = size.beside(found)
        return size

    def _of_field(self, field: FieldNode, parent: GraphQLNamedType | None) -> _Size:
        if field.selection_set is None:
            return _Size(depth=1, fields=1)
        type_ = self._type_of(field.name.value, parent)
        below = self.of(field.selection_set, get_named_type(type_))
        is_list = is_list_type(get_nullable_type(type_))
        return _Size(below.depth + 1, below.fields + 1, below.lists + is_list)

    def _of_fragment(self, name: str) -> _Size:
        if name not in self._measured:
            # A fragment that spreads itself counts nothing here; validation refuses it.
            self._measured[name] = _Size()
            if fragment := self._fragments.get(name):
                parent = self._named(fragment.type_condition)
                self._measured[name] = self.of(fragment.selection_set, parent)
        return self._measured[name]

    def _named(self, node: NamedTypeNode) -> GraphQLNamedType | None:
        return self._schema.get_type(node.name.value)

    def _type_of(self, name: str, parent: GraphQLNamedType | None) -> GraphQLOutputType | None:
        if name in _INTROSPECTION and parent is self._schema.query_type:
            return _INTROSPECTION[name].type
        fields = getattr(parent, "fields", {})
        return fields[name].type if name in fields else None


_INTROSPECTION = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}
