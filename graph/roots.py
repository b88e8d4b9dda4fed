"""What stands at the root of an operation, declared so that plans can do it too."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

import strawberry

from db.listing import Listing
from graph import reading
from graph.context import Info
from graph.nouns import SOURCE
from graph.pages import DEFAULT_ITEMS, Connection, Here, Lists, Page, SortOrder

_argument = functools.partial(Parameter, kind=Parameter.KEYWORD_ONLY)
_CURSORS = [
    _argument("first", annotation=int | None, default=None),
    _argument("after", annotation=str | None, default=None),
    _argument("last", annotation=int | None, default=None),
    _argument("before", annotation=str | None, default=None),
]
_NUMBERS = [
    _argument("page", annotation=int, default=1),
    _argument("page_size", annotation=int, default=DEFAULT_ITEMS),
    _argument("here", annotation=Here, default=""),
]


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


def connection(lists: Lists, permission_classes: list[Any], description: str) -> Any:
    """A list by cursor: what stands after, or before, a place in it."""
    return strawberry.field(
        resolver=_resolver(lists.connection, Connection, lists, [*_CURSORS, *_choices(lists)]),
        permission_classes=permission_classes,
        description=description,
        metadata={SOURCE: Listed(lists, is_page=False)},
    )


def page(lists: Lists, permission_classes: list[Any], description: str) -> Any:
    """A list by numbered pages."""
    return strawberry.field(
        resolver=_resolver(lists.page, Page, lists, [*_choices(lists), *_NUMBERS]),
        permission_classes=permission_classes,
        description=description,
        metadata={SOURCE: Listed(lists, is_page=True)},
    )


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


def _choices(lists: Lists) -> list[Parameter]:
    """What a list is filtered and sorted by."""
    choices = []
    if lists.filter:
        choices.append(_argument("filter", annotation=lists.filter | None, default=None))
    if lists.sort:
        usual = lists.sort(lists.listing.default_order)
        choices.append(_argument("sort", annotation=lists.sort, default=usual))
    return [*choices, _argument("order", annotation=SortOrder, default=lists.order)]


def _resolver(
    find: Callable[..., Awaitable[Any]], shape: Any, lists: Lists, arguments: Sequence[Parameter]
) -> Callable[..., Awaitable[Any]]:
    async def resolve(info: Info, **chosen: Any) -> Any:
        return await find(info, **chosen)

    # Strawberry reads types off the signature: here they differ by noun, so it is made as we run.
    resolve.__signature__ = Signature(  # type: ignore[attr-defined]
        [_argument("info", annotation=Info), *arguments], return_annotation=shape[lists.noun]
    )
    return resolve
