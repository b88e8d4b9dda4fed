"""From input objects to plain values."""

from typing import Any

from strawberry import Some


def values_of(input: Any) -> dict[str, Any]:
    """What an input sets; null counts as not set."""
    return {name: value for name, value in vars(input).items() if value is not None}


def changes_of(input: Any) -> dict[str, Any]:
    """What an input changes: a field that is absent stays, one that is null is emptied."""
    return {
        name: field.value if isinstance(field, Some) else field
        for name, field in vars(input).items()
        if field is not None
    }
