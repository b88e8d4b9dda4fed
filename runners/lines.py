"""Lines of JSON as a program prints them, however long and however cut up."""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

LONGEST_LINE = 64 * 1024 * 1024
DEEPEST = 200
# A text that does not end is one to the end: to look for others within it took for ever.
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|(?P<opens>[\[{])|(?P<closes>[\]}])', re.DOTALL)


class Lines:
    """Puts pieces of output together to lines; in place of one far too long it says so."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are complete now, without their ends."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end)
            if self._size <= self._longest:
                yield b"".join(self._begun)
            else:
                yield b"A line of %d bytes was left out" % self._size
            self._begun, self._size = [], 0
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._longest:
            self._begun.append(piece)
        else:
            self._begun.clear()


def parsed(line: bytes) -> dict[str, Any] | None:
    """The object that a line is, or None for anything else, such as one nested too deeply.

    What the databases can't keep, NUL and halves of characters, is replaced.
    """
    if line.count(b"{") + line.count(b"[") > DEEPEST and _is_deeper(line):
        return None
    try:
        value = orjson.loads(line)
        if b"\\u0000" in line:
            value = _storable(value)
    except orjson.JSONDecodeError:
        value = _parsed_leniently(line)
    return value if isinstance(value, dict) else None


def clipped(text: str, longest: int) -> str:
    """The text, or its beginning and how much more there is."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest} more characters)"


def clipped_within(value: Any, longest: int) -> Any:
    """A JSON value whose texts are clipped."""
    match value:
        case str():
            return clipped(value, longest)
        case dict():
            return {name: clipped_within(inner, longest) for name, inner in value.items()}
        case list():
            return [clipped_within(inner, longest) for inner in value]
        case _:
            return value


def _is_deeper(line: bytes) -> bool:
    """Whether it is nested deeper than what can be written again. Brackets in texts don't count."""
    depth = 0
    for bracket in _BRACKETS.finditer(line):
        if bracket["opens"]:
            depth += 1
        elif bracket["closes"]:
            depth -= 1
        if depth > DEEPEST:
            return True
    return False


def _parsed_leniently(line: bytes) -> Any:
    """Half a character is an error to most parsers, but JavaScript cuts texts like that."""
    try:
        return _storable(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _storable(value: Any) -> Any:
    match value:
        case str():
            return (
                value.replace("\0", "\ufffd")
                .encode("utf-16", "surrogatepass")
                .decode("utf-16", "replace")
            )
        case dict():
            return {_storable(name): _storable(inner) for name, inner in value.items()}
        case list():
            return [_storable(inner) for inner in value]
        case _:
            return value
