"""Text that every database can keep: it holds no NUL."""

from collections.abc import Iterator, Mapping
from typing import Any

from db.errors import InvalidFormat

ESCAPED_NULS = ("\\u0000", "\\u{0", "\0")


def check_variables(variables: Mapping[str, Any]) -> None:
    """Raises `InvalidFormat` for the first text with a NUL, by the path that leads to it."""
    for path in _paths_to_nul(variables):
        field = ".".join(path).removeprefix("input.")
        raise InvalidFormat(field, "Must be text without NUL")


def holds_nul(document: str) -> bool:
    """Whether a document may spell a NUL in one of its texts."""
    return any(spelling in document for spelling in ESCAPED_NULS)


def _paths_to_nul(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, str):
        if "\0" in value:
            yield ()
    elif isinstance(value, dict):
        for name, item in value.items():
            if "\0" in name:
                yield (name.replace("\0", "�"),)
            for path in _paths_to_nul(item):
                yield (name, *path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for path in _paths_to_nul(item):
                yield (str(index), *path)
