"""Bounds on a document, checked in one pass before anything walks it more than once."""

from collections.abc import Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

DEEPEST = 15
MOST_FIELDS = 2_000
"""Fields once fragments are spread out: what bounds the work of validation and execution."""


def check_bounds(document: DocumentNode) -> None:
    """Raises `GraphQLError` for operations that are too deep or too large when spread out.

    Introspection is deeper than that by itself; GraphiQL's stays within the bounds.
    """
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    measure = _Measure(fragments)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            depth, fields = measure.of(definition.selection_set)
            if depth > DEEPEST:
                raise GraphQLError(f"The operation is nested deeper than {DEEPEST} levels")
            if fields > MOST_FIELDS:
                raise GraphQLError(f"The operation selects more than {MOST_FIELDS} fields")


class _Measure:
    """Depth and number of fields; each fragment is measured once, however often it is spread."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._measured: dict[str, tuple[int, int]] = {}

    def of(self, selections: SelectionSetNode) -> tuple[int, int]:
        depth = fields = 0
        for selection in selections.selections:
            match selection:
                case FieldNode(selection_set=None):
                    below, more = 1, 1
                case FieldNode(selection_set=SelectionSetNode() as nested):
                    below, more = self.of(nested)
                    below, more = below + 1, more + 1
                case InlineFragmentNode(selection_set=nested):
                    below, more = self.of(nested)
                case FragmentSpreadNode(name=name):
                    below, more = self._of_fragment(name.value)
                case _:
                    below, more = 0, 0
            depth, fields = max(depth, below), fields + more
        return depth, fields

    def _of_fragment(self, name: str) -> tuple[int, int]:
        if name not in self._measured:
            # A fragment that spreads itself counts nothing here; validation refuses it.
            self._measured[name] = (0, 0)
            if fragment := self._fragments.get(name):
                self._measured[name] = self.of(fragment.selection_set)
        return self._measured[name]
