"""What an answer looks like: small words, put together to shapes that a value fits or not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs


@dataclass(frozen=True)
class Leaf:
    """A single value, as JSON Schema describes it."""

    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Nullable:
    """A value that may be null."""

    shape: Any


@dataclass(frozen=True)
class Some:
    """A list with at least one item; `[shape]` is a list that may be empty."""

    shape: Any


Shape = Any
"""A `Leaf`, a mapping of keys to shapes, a list of one shape, `Some` or `Nullable`."""


def written(pattern: str) -> Leaf:
    """Text of a form."""
    return Leaf({"type": "string", "pattern": f"^({pattern})$"})


def word(*words: str) -> Leaf:
    """One of some words."""
    return Leaf({"enum": words})


TEXT = Leaf({"type": "string"})
WORDS = Leaf({"type": "string", "pattern": r"\S"})
ID = written(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = written(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DURATION = written(r"\d\d+:[0-5]\d:[0-5]\d")
SIZE = written(r"\d+(\.\d+)?[KMGT]?B")
TOKEN = written(r"[\w-]+\.[\w-]+\.[\w-]+")
WHOLE = Leaf({"type": "integer"})
COUNT = Leaf({"type": "integer", "minimum": 0})
NUMBER = Leaf({"type": "number"})
RATE = Leaf({"type": "number", "minimum": 0, "maximum": 1})
FLAG = Leaf({"type": "boolean"})
NULL = Leaf({"type": "null"})
OBJECT = Leaf({"type": "object"})
ANY = Leaf({})


def misfits(shape: Shape, value: Any) -> list[str]:
    """What is missing or otherwise than its shape; keys that no shape has may be there."""
    validator = jsonschema_rs.Draft202012Validator(_schema_of(shape))
    return [
        f"{'.'.join(map(str, error.instance_path))}: {error.message}"
        for error in validator.iter_errors(value)
    ]


def keys_of(shape: Shape, where: str = "") -> Iterator[str]:
    """Every key of a shape or of a value, with those around it: `items[].id`."""
    match shape:
        case Nullable(inner):
            yield from keys_of(inner, where)
        case Some(inner):
            yield from keys_of(inner, f"{where}[]")
        case list():
            for inner in shape:
                yield from keys_of(inner, f"{where}[]")
        case Mapping():
            for key, inner in shape.items():
                path = f"{where}.{key}" if where else key
                yield path
                yield from keys_of(inner, path)


def _schema_of(shape: Shape) -> dict[str, Any]:
    match shape:
        case Leaf(schema):
            return dict(schema)
        case Nullable(inner):
            return {"anyOf": [_schema_of(inner), {"type": "null"}]}
        case Some(inner):
            return {"type": "array", "minItems": 1, "items": _schema_of(inner)}
        case [inner]:
            return {"type": "array", "items": _schema_of(inner)}
        case _:
            return {
                "type": "object",
                "required": list(shape),
                "properties": {key: _schema_of(inner) for key, inner in shape.items()},
            }
