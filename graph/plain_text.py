"""Text that every database can keep: it holds no NUL."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from db.errors import InvalidFormat

ESCAPED_NUL = b"\\u0000"
ESCAPED_NULS = ("\\u0000", "\\u{0", "\0")


def check_variables(variables: Mapping[str, Any]) -> None:
    """Raises `InvalidFormat` for the first text with a NUL, by the path that leads to it.

    And for what is nested too deeply to be looked at.
    """
    try:
        is_suspicious = any(map(_may_hold_nul, variables.values()))
    except TypeError:
        name = next(name for name, value in variables.items() if _is_too_deep(value))
        raise InvalidFormat(name, "Must not be nested so deeply") from None
    if is_suspicious:
        for path in _paths_to_nul(variables):
            raise InvalidFormat(".".join(path).removeprefix("input."), "Must be text without NUL")


def holds_nul(document: str) -> bool:
    """Whether a document may spell a NUL in one of its texts."""
    return any(spelling in document for spelling in ESCAPED_NULS)


def _may_hold_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    return isinstance(value, dict | list) and ESCAPED_NUL in orjson.dumps(value, default=str)


def _is_too_deep(value: Any) -> bool:
    try:
        orjson.dumps(value, default=str)
    except TypeError:
        return True
    return False


def _paths_to_nul(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, str) and "\0" in value:
        yield ()
    for name, part in _parts(value):
        if "\0" in name:
            yield (name.replace("\0", "\N{REPLACEMENT CHARACTER}"),)
        for path in _paths_to_nul(part):
            yield (name, *path)


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list):
        return ((str(place), part) for place, part in enumerate(value))
    return ()
