"""What an operation selects, with fragments spread out and fields of the same key merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_object_type,
)


class NotPlannable(Exception):
    """A plan can't do this; says what. The reference executor can."""


@dataclass(frozen=True)
class Selected:
    """A field that is selected of an object."""

    key: str
    name: str
    type: GraphQLOutputType
    selected: Sequence["Selected"]
    node: FieldNode


class Selections:
    """Collects the fields of a document, under given values of its directives' variables.

    `names` turns a field's name in the schema into its name in the declarations.
    """

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, flags: Mapping[str, bool]
    ) -> None:
        self._schema = schema
        self._flags = flags
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    def of(
        self, parent: GraphQLObjectType, selection_sets: Sequence[SelectionSetNode]
    ) -> list[Selected]:
        """The fields of an object, each once."""
        nodes: dict[str, list[FieldNode]] = {}
        for selection_set in selection_sets:
            self._collect(parent, selection_set, nodes)
        return [self._selected(parent, key, found) for key, found in nodes.items()]

    def _collect(
        self,
        parent: GraphQLObjectType,
        selection_set: SelectionSetNode,
        nodes: dict[str, list[FieldNode]],
    ) -> None:
        for selection in selection_set.selections:
            if not self._is_included(selection):
                continue
            match selection:
                case FieldNode():
                    key = selection.alias.value if selection.alias else selection.name.value
                    nodes.setdefault(key, []).append(selection)
                case InlineFragmentNode(type_condition=condition):
                    self._check_type(parent, condition)
                    self._collect(parent, selection.selection_set, nodes)
                case FragmentSpreadNode(name=name):
                    fragment = self._fragments[name.value]
                    self._check_type(parent, fragment.type_condition)
                    self._collect(parent, fragment.selection_set, nodes)

    def _selected(self, parent: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> Selected:
        node = nodes[0]
        name = node.name.value
        if name == "__typename":
            return Selected(key, name, parent, (), node)
        if name.startswith("__"):
            raise NotPlannable("introspection")
        field = parent.fields[name]
        below: Sequence[Selected] = ()
        type_ = get_named_type(field.type)
        if sets := [found.selection_set for found in nodes if found.selection_set]:
            if not is_object_type(type_):
                raise NotPlannable(f"{name} is of an abstract type")
            below = self.of(type_, sets)
        return Selected(key, _declared_name(field, name), field.type, below, node)

    def _is_included(self, selection: Any) -> bool:
        for directive in selection.directives or ():
            name = directive.name.value
            if name not in ("skip", "include"):
                raise NotPlannable(f"@{name}")
            value = directive.arguments[0].value
            is_true = (
                self._flags[value.name.value] if isinstance(value, VariableNode) else value.value
            )
            if is_true is (name == "skip"):
                return False
        return True

    def _check_type(self, parent: GraphQLObjectType, condition: Any) -> None:
        if condition is not None and condition.name.value != parent.name:
            raise NotPlannable("a fragment on an abstract type")


def _declared_name(field: Any, name: str) -> str:
    """The name in the declarations of a field that the schema calls differently."""
    definition = field.extensions.get("strawberry-definition")
    return definition.python_name if definition else name
