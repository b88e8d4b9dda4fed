"""What a field may hold; every refusal names the field."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from db.errors import Invalid, InvalidFormat, RequiredField, ValueTooLong, ValueTooShort

LARGEST_JSON = 256 * 1024
DEEPEST_JSON = 100
# Behind an even number of backslashes: one that is escaped itself begins no escape.
_NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")


def text(field: str, value: str, *, shortest: int = 0, longest: int) -> str:
    """Text without NUL, of a length between two bounds, in characters."""
    if shortest and not value.strip():
        raise RequiredField(field)
    if len(value) < shortest:
        raise ValueTooShort(field, shortest)
    if len(value) > longest:
        raise ValueTooLong(field, longest)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidFormat(field, "Must be text without NUL and lone surrogates")
    return value


def no_nulls(values: Mapping[str, Any], *, but: Collection[str]) -> None:
    """Nothing is null, but what may be. Raises `RequiredField`."""
    for field, value in values.items():
        if value is None and field not in but:
            raise RequiredField(field, "Must not be null")


def whole_number(field: str, value: int, *, least: int, most: int) -> int:
    if not least <= value <= most:
        raise Invalid(field, f"Must be between {least} and {most}", minimum=least, maximum=most)
    return value


def json_object(field: str, value: Any) -> dict[str, Any]:
    """A JSON object of bounded size, whose strings both databases can keep."""
    if not isinstance(value, dict):
        raise InvalidFormat(field, "Must be an object")
    try:
        encoded = orjson.dumps(value)
    except (TypeError, ValueError):
        raise InvalidFormat(field, "Must be JSON") from None
    if len(encoded) > LARGEST_JSON:
        raise ValueTooLong(field, LARGEST_JSON)
    if _depth(value) > DEEPEST_JSON:
        raise InvalidFormat(field, f"Must be nested at most {DEEPEST_JSON} levels deep")
    if _NUL.search(encoded):
        raise InvalidFormat(field, "Must not contain NUL")
    return value


def _depth(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
        case _:
            return 0
