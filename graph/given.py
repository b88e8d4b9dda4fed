"""The variables of a planned operation: their types and their defaults are looked up only once."""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    coerce_input_value,
    get_nullable_type,
    get_variable_values,
    is_leaf_type,
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
        types: Mapping[str, GraphQLInputType] = {
            definition.variable.name.value: type_from_ast(schema, definition.type)  # type: ignore[misc]
            for definition in declared
        }
        self._coercers = [
            (name, is_non_null_type(type_) and name not in self._defaults, _coercer(type_))
            for name, type_ in types.items()
        ]

    def of(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The variables under these values, coerced to their types. Raises `Misgiven`."""
        coerced = self._defaults.copy()
        try:
            for name, is_required, coerce in self._coercers:
                if name in given:
                    coerced[name] = value = coerce(given[name])
                    if value is Undefined:
                        raise Misgiven
                elif is_required:
                    raise Misgiven
        except Exception:  # noqa: BLE001 - a scalar may raise anything for what it can't be
            raise Misgiven from None
        return coerced


def _coercer(type_: GraphQLInputType) -> Callable[[Any], Any]:
    """What graphql-core does with a value of this type, without finding out each time which."""
    nullable = get_nullable_type(type_)
    if not is_leaf_type(nullable):
        return lambda value: coerce_input_value(value, type_)
    coerce = nullable.coerce_input_value
    absent = Undefined if is_non_null_type(type_) else None
    return lambda value: absent if value is None else coerce(value)


def _coerced(variables: Any) -> dict[str, Any]:
    coerced: dict[str, Any] = variables.coerced
    return coerced
