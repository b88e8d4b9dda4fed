"""The variables of a planned operation: their types and their defaults are looked up only once."""

from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    VariableValues,
    coerce_input_value,
    get_variable_values,
    is_non_null_type,
    type_from_ast,
)


class Misgiven(Exception):
    """The values do not fit the variables."""


class Variables:
    """What an operation may be given."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        declared = operation.variable_definitions or ()
        defaults = [definition for definition in declared if definition.default_value]
        self._defaults = _coerced(get_variable_values(schema, defaults, {}))
        self._types: Mapping[str, GraphQLInputType] = {
            definition.variable.name.value: type_from_ast(schema, definition.type)  # type: ignore[misc]
            for definition in declared
        }

    def of(self, given: Mapping[str, Any]) -> VariableValues:
        """The variables under these values, as graphql-core has them. Raises `Misgiven`."""
        coerced = self._defaults.copy()
        for name, type_ in self._types.items():
            if name in given:
                coerced[name] = _value(given[name], type_)
            elif is_non_null_type(type_) and name not in coerced:
                raise Misgiven
        return VariableValues({}, coerced)


def _value(value: Any, type_: GraphQLInputType) -> Any:
    try:
        coerced = coerce_input_value(value, type_)
    except RecursionError:
        raise Misgiven from None
    if coerced is Undefined:
        raise Misgiven
    return coerced


def _coerced(variables: Any) -> dict[str, Any]:
    coerced: dict[str, Any] = variables.coerced
    return coerced
