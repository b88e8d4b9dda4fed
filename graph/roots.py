"""What stands at the root of an operation, declared so that plans can do it too."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import strawberry

from db.listing import Listing
from graph import reading
from graph.context import Info
from graph.nouns import SOURCE
from graph.pages import Lists


@dataclass(frozen=True)
class Got:
    """A root field that is one row, by its argument `id`."""

    noun: str
    listing: Listing


@dataclass(frozen=True)
class Listed:
    """A root field that is a list: a connection, or a numbered page."""

    lists: Lists
    is_page: bool


@dataclass(frozen=True)
class Changed:
    """A mutation whose function returns the id of the row that it answers with."""

    noun: str
    listing: Listing
    function: Callable[..., Awaitable[str]]


def got(noun: str, listing: Listing) -> dict[str, Any]:
    """The metadata of a field that is one row."""
    return {SOURCE: Got(noun, listing)}


def listed(lists: Lists, *, is_page: bool = False) -> dict[str, Any]:
    """The metadata of a field that is a list."""
    return {SOURCE: Listed(lists, is_page)}


def changes(
    noun: type, listing: Listing, permission_classes: list[Any], description: str
) -> Callable[[Callable[..., Awaitable[str]]], Any]:
    """A mutation: the function writes and returns an id; what is answered is that row."""

    def declare(function: Callable[..., Awaitable[str]]) -> Any:
        @functools.wraps(function)
        async def resolve(self: Any, info: Info, **arguments: Any) -> Any:
            id_ = await function(self, info, **arguments)
            return await reading.get(info.context, noun.__name__, listing, id_)

        return strawberry.mutation(
            resolver=resolve,
            graphql_type=noun,
            permission_classes=permission_classes,
            description=description,
            metadata={SOURCE: Changed(noun.__name__, listing, function)},
        )

    return declare
