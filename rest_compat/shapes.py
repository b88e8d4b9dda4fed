"""From GraphQL to JSON Schema: what an operation takes, and what it answers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    is_abstract_type,
    is_required_input_field,
    is_specified_scalar_type,
)

from graph.execution import Prepared
from rest_compat.examples import EXAMPLES

Schema = dict[str, Any]

_UUID = "01981d6e-6c00-7000-8000-000000000001"
_LEAVES: Mapping[str, Schema] = {
    "ID": {"type": "string", "examples": [_UUID]},
    "String": {"type": "string"},
    "Int": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1, "examples": [1]},
    "BigInt": {"type": "integer", "examples": [4096]},
    "Float": {"type": "number", "examples": [0.5]},
    "Boolean": {"type": "boolean", "examples": [True]},
    "DateTime": {"type": "string", "format": "date-time", "examples": ["2025-07-30T12:00:00Z"]},
    "Duration": {
        "type": "string",
        "pattern": r"^\d{2,6}:[0-5]\d:[0-5]\d$",
        "examples": ["02:30:00"],
    },
    "JSON": {"examples": [{}]},
}


def of_input(type_: GraphQLInputType, name: str) -> Schema:
    """What fits an input type; a field of this name has it."""
    match type_:
        case GraphQLNonNull():
            return of_input(type_.of_type, name)
        case GraphQLList():
            return {"type": "array", "items": _or_null(type_.of_type, name)}
        case GraphQLInputObjectType():
            return _input_object(type_)
        case _:
            return _leaf(type_, name)


def of_answer(schema: GraphQLSchema, prepared: Prepared) -> Schema:
    """What an operation answers: the field named `data`, or all root fields."""
    whole = _Answers(schema, prepared).whole()
    data: Schema | None = whole["properties"].get("data")
    return data or whole


def example_of(schema: Schema) -> Any:
    """A value that fits a schema."""
    if schema.get("examples"):
        return schema["examples"][0]
    if "properties" in schema:
        return {name: example_of(inner) for name, inner in schema["properties"].items()}
    if "items" in schema:
        return [example_of(schema["items"])]
    return example_of(schema["anyOf"][0]) if "anyOf" in schema else None


def object_of(properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    """An object with these properties."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


class _Answers:
    """Walks the selections of one operation."""

    def __init__(self, schema: GraphQLSchema, prepared: Prepared) -> None:
        self._schema = schema
        self._operation = prepared.operation
        self._fragments = {
            definition.name.value: definition
            for definition in prepared.document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    def whole(self) -> Schema:
        operation: OperationDefinitionNode = self._operation
        root = self._schema.get_root_type(operation.operation)
        return self._composite(root, [operation.selection_set])

    def _value(self, type_: Any, name: str, sets: list[SelectionSetNode]) -> Schema:
        if isinstance(type_, GraphQLNonNull):
            return self._present(type_.of_type, name, sets)
        return _nullable(self._present(type_, name, sets))

    def _present(self, type_: Any, name: str, sets: list[SelectionSetNode]) -> Schema:
        if isinstance(type_, GraphQLList):
            return {"type": "array", "items": self._value(type_.of_type, name, sets)}
        return self._composite(type_, sets) if sets else _leaf(type_, name)

    def _composite(self, type_: Any, sets: list[SelectionSetNode]) -> Schema:
        if is_abstract_type(type_):
            possible = self._schema.get_possible_types(type_)
            return {"anyOf": [self._composite(one, sets) for one in possible]}
        selected: dict[str, list[FieldNode]] = {}
        for field in self._fields(type_, sets):
            selected.setdefault((field.alias or field.name).value, []).append(field)
        return object_of(
            {name: self._field(type_, nodes) for name, nodes in selected.items()},
            [name for name, nodes in selected.items() if not all(one.directives for one in nodes)],
        )

    def _field(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Schema:
        name = nodes[0].name.value
        if name == "__typename":
            return {"type": "string", "enum": [type_.name], "examples": [type_.name]}
        field = type_.fields[name]
        shown = nodes[0].alias.value if nodes[0].alias else name
        sets = [node.selection_set for node in nodes if node.selection_set]
        return _described(self._value(field.type, shown, sets), field.description)

    def _fields(
        self, type_: GraphQLObjectType, sets: list[SelectionSetNode]
    ) -> Iterator[FieldNode]:
        """The fields selected on an object, through fragments."""
        for selection in (one for selections in sets for one in selections.selections):
            if isinstance(selection, FieldNode):
                yield selection
                continue
            fragment: Any = selection
            if isinstance(selection, FragmentSpreadNode):
                fragment = self._fragments[selection.name.value]
            if self._applies(fragment.type_condition, type_):
                yield from self._fields(type_, [fragment.selection_set])

    def _applies(self, condition: Any, type_: GraphQLObjectType) -> bool:
        wanted: Any = self._schema.get_type(condition.name.value) if condition else type_
        return wanted is type_ or (
            is_abstract_type(wanted) and self._schema.is_sub_type(wanted, type_)
        )


def _input_object(type_: GraphQLInputObjectType) -> Schema:
    properties = {
        name: _described(_or_null(field.type, name), field.description)
        for name, field in type_.fields.items()
    }
    required = [name for name, field in type_.fields.items() if is_required_input_field(field)]
    return object_of(properties, required)


def _or_null(type_: GraphQLInputType, name: str) -> Schema:
    schema = of_input(type_, name)
    return schema if isinstance(type_, GraphQLNonNull) else _nullable(schema)


def _leaf(type_: Any, name: str) -> Schema:
    if isinstance(type_, GraphQLEnumType):
        values = list(type_.values)
        return _described(
            {"type": "string", "enum": values, "examples": values[:1]}, type_.description
        )
    leaf = _LEAVES.get(type_.name, {})
    example = EXAMPLES.get(name, leaf.get("examples", [name])[0])
    meaning = None if is_specified_scalar_type(type_) else type_.description
    return _described({**leaf, "examples": [example]}, meaning)


def _nullable(schema: Schema) -> Schema:
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema:
        return schema
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _described(schema: Schema, description: str | None) -> Schema:
    return {**schema, "description": description} if description else schema
