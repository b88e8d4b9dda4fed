"""From GraphQL to JSON Schema: what an operation takes, and what it answers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphql import (
    ArgumentNode,
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
    ObjectFieldNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    get_named_type,
    is_abstract_type,
    is_input_object_type,
    is_required_input_field,
    is_specified_scalar_type,
    value_from_ast_untyped,
    visit,
)

from graph.execution import Prepared
from rest_compat.examples import EXAMPLES
from rest_compat.variables import INPUT

Schema = dict[str, Any]

_LEAVES: Mapping[str, Schema] = {
    "ID": {"type": "string", "examples": ["01981d6e-6c00-7000-8000-000000000001"]},
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

_KINDS = {"string": str, "integer": int, "number": int | float, "boolean": bool}


def of_request(schema: GraphQLSchema, prepared: Prepared) -> Schema:
    """An object of the words that a request may say: the operation's variables.

    Those of a variable named `input` are its fields.
    """
    meanings = _Meanings.of(schema, prepared)
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for definition in prepared.operation.variable_definitions or ():
        name = definition.variable.name.value
        type_ = prepared.variables[name].type
        if name == INPUT and is_input_object_type(get_named_type(type_)):
            whole = _input_object(get_named_type(type_))
            properties |= whole["properties"]
            required += whole["required"]
            continue
        properties[name] = _described(_of_input(type_, name), meanings.get(name))
        if definition.default_value:
            properties[name]["default"] = value_from_ast_untyped(definition.default_value)
        elif isinstance(type_, GraphQLNonNull):
            required.append(name)
    return object_of(properties, required)


def of_answer(schema: GraphQLSchema, prepared: Prepared) -> Schema:
    """What an operation answers: the root field named `data`, or all root fields.

    It is never null: what is not there is refused.
    """
    whole = _Selections(schema, prepared).answer()
    return without_null(whole["properties"].get("data", whole))


def object_of(properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    """An object with these properties."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def without_null(schema: Schema) -> Schema:
    """The same, where null can't be said."""
    if not isinstance(schema.get("type"), list):
        return schema
    present = {**schema, "type": schema["type"][0]}
    return {**present, "enum": schema["enum"][:-1]} if "enum" in schema else present


def example_of(schema: Schema) -> Any:
    """A value that fits a schema."""
    match schema:
        case {"examples": [example, *_]}:
            return example
        case {"properties": properties}:
            return {name: example_of(inner) for name, inner in properties.items()}
        case {"items": items}:
            return [example_of(items)]
        case {"anyOf": [first, *_]}:
            return example_of(first)
        case _:
            return None


class _Meanings(Visitor):
    """Collects what the schema says of each variable, at the place where it is used."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.found: dict[str, str | None] = {}
        self._types = types

    @classmethod
    def of(cls, schema: GraphQLSchema, prepared: Prepared) -> dict[str, str | None]:
        types = TypeInfo(schema)
        meanings = cls(types)
        visit(prepared.document, TypeInfoVisitor(types, meanings))
        return meanings.found

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._note(node.value, self._types.get_argument())

    def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> None:
        parent: Any = get_named_type(self._types.get_parent_input_type())
        self._note(node.value, parent.fields[node.name.value])

    def _note(self, value: Any, place: Any) -> None:
        if isinstance(value, VariableNode):
            self.found[value.name.value] = place.description


class _Selections:
    """Walks the selections of one operation."""

    def __init__(self, schema: GraphQLSchema, prepared: Prepared) -> None:
        self._schema = schema
        self._operation = prepared.operation
        self._fragments = {
            definition.name.value: definition
            for definition in prepared.document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    def answer(self) -> Schema:
        root = self._schema.get_root_type(self._operation.operation)
        return self._composite(root, [self._operation.selection_set])

    def _composite(self, type_: Any, sets: list[SelectionSetNode]) -> Schema:
        if is_abstract_type(type_):
            possible = self._schema.get_possible_types(type_)
            return {"anyOf": [self._composite(one, sets) for one in possible]}
        selected: dict[str, list[FieldNode]] = {}
        for node in self._fields(type_, sets):
            selected.setdefault((node.alias or node.name).value, []).append(node)
        return object_of(
            {name: self._field(type_, name, nodes) for name, nodes in selected.items()},
            [name for name, nodes in selected.items() if not all(one.directives for one in nodes)],
        )

    def _fields(
        self, type_: GraphQLObjectType, sets: list[SelectionSetNode]
    ) -> Iterator[FieldNode]:
        """What is selected of an object, through fragments."""
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

    def _field(self, type_: GraphQLObjectType, name: str, nodes: list[FieldNode]) -> Schema:
        field_name = nodes[0].name.value
        if field_name == "__typename":
            return {"type": "string", "enum": [type_.name], "examples": [type_.name]}
        field = type_.fields[field_name]
        sets = [node.selection_set for node in nodes if node.selection_set]
        return _described(self._value(field.type, name, sets), field.description)

    def _value(self, type_: Any, name: str, sets: list[SelectionSetNode]) -> Schema:
        if isinstance(type_, GraphQLNonNull):
            return self._present(type_.of_type, name, sets)
        return _nullable(self._present(type_, name, sets))

    def _present(self, type_: Any, name: str, sets: list[SelectionSetNode]) -> Schema:
        if isinstance(type_, GraphQLList):
            return {"type": "array", "items": self._value(type_.of_type, name, sets)}
        return self._composite(type_, sets) if sets else _leaf(type_, name)


def _of_input(type_: GraphQLInputType, name: str) -> Schema:
    if not isinstance(type_, GraphQLNonNull):
        return _nullable(_of_input(GraphQLNonNull(type_), name))
    match type_.of_type:
        case GraphQLList(of_type=item):
            return {"type": "array", "items": _of_input(item, name)}
        case GraphQLInputObjectType() as whole:
            return _input_object(whole)
        case leaf:
            return _leaf(leaf, name)


def _input_object(type_: Any) -> Schema:
    return object_of(
        {
            name: _described(_of_input(field.type, name), field.description)
            for name, field in type_.fields.items()
        },
        [name for name, field in type_.fields.items() if is_required_input_field(field)],
    )


def _leaf(type_: Any, name: str) -> Schema:
    if isinstance(type_, GraphQLEnumType):
        values = list(type_.values)
        enum = {"type": "string", "enum": values, "examples": values[:1]}
        return _described(enum, type_.description)
    leaf = _LEAVES.get(type_.name, {})
    example = EXAMPLES.get(name)
    if not isinstance(example, _KINDS.get(leaf.get("type", ""), object)) or example is None:
        example = leaf.get("examples", [name])[0]
    meaning = None if is_specified_scalar_type(type_) else type_.description
    return _described({**leaf, "examples": [example]}, meaning)


def _nullable(schema: Schema) -> Schema:
    match schema:
        case {"anyOf": shapes}:
            return {**schema, "anyOf": [*shapes, {"type": "null"}]}
        case {"type": kind, "enum": values}:
            return {**schema, "type": [kind, "null"], "enum": [*values, None]}
        case {"type": kind}:
            return {**schema, "type": [kind, "null"]}
        case _:
            return schema


def _described(schema: Schema, description: str | None) -> Schema:
    return {**schema, "description": description} if description else schema
