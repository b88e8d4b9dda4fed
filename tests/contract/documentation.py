"""The API's documentation, taken apart: requests, answers, messages and lists of words."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DOCUMENTATION = Path(__file__).parents[3] / "shared" / "api-documentation.md"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (\S+)\n")
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_BULLET = re.compile(r"^- `([^`]+)`(.*)$", re.MULTILINE)


@dataclass
class Request:
    """A request that is shown, and the answers that are shown for it."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    answers: list[Any] = field(default_factory=list)


@dataclass
class Section:
    """What stands below a heading."""

    title: str
    text: str

    def blocks(self, language: str) -> list[str]:
        return [block for kind, block in _BLOCK.findall(self.text) if kind == language]

    def bullets(self) -> list[tuple[str, list[str]]]:
        """The first code of each item of a list, and the others of the same item."""
        return [
            (first, re.findall(r"`([^`]+)`", rest)) for first, rest in _BULLET.findall(self.text)
        ]

    def requests(self) -> Iterator[Request]:
        """The requests, each with the JSON that follows it."""
        request: Request | None = None
        for kind, block in _BLOCK.findall(self.text):
            if kind == "http" and (found := _REQUEST.match(block)):
                request = _request(found, block)
                yield request
            elif kind == "json" and request:
                request.answers.append(value_of(block))

    def json(self) -> list[Any]:
        """The JSON that belongs to no request."""
        return [] if any(True for _ in self.requests()) else [*map(value_of, self.blocks("json"))]


def sections() -> dict[str, Section]:
    """The documentation by its headings."""
    text = DOCUMENTATION.read_text()
    fenced = [found.span() for found in _BLOCK.finditer(text)]
    headings = [
        found
        for found in _HEADING.finditer(text)
        if not any(start < found.start() < end for start, end in fenced)
    ]
    ends = [found.start() for found in headings[1:]] + [len(text)]
    found: dict[str, Section] = {}
    for heading, end in zip(headings, ends, strict=True):
        title = heading[1].strip()
        # Later sections of the same name say more of the same.
        before = found[title].text if title in found else ""
        found[title] = Section(title, before + text[heading.end() : end])
    return found


def value_of(block: str) -> Any:
    """A block of JSON, which may leave things out."""
    return json.loads(_COMMENT.sub("", block).replace("[...]", "[]"))


def _request(found: re.Match[str], block: str) -> Request:
    address = urlsplit(found[2])
    _, _, body = block.partition("\n\n")
    return Request(
        found[1],
        address.path,
        parse_qs(address.query),
        value_of(body) if body.strip() else None,
    )
