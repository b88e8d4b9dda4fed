"""Lists: Relay connections, and numbered pages for clients that count."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import strawberry
from sqlalchemy import Select

from db.errors import Invalid
from db.listing import Listing, Order, Place
from graph.context import Info
from graph.links import Pagination, pagination
from graph.nouns import NOUNS

T = TypeVar("T")

MOST_ITEMS = 100
DEFAULT_ITEMS = 50
LAST_PAGE = 1_000_000
LARGEST_OFFSET = LAST_PAGE * MOST_ITEMS

Here = Annotated[
    str, strawberry.argument(description="The address of this page, to make others' of.")
]


@strawberry.enum(description="In which direction a list is sorted.")
class SortOrder(StrEnum):
    ASC = "asc"
    DESC = "desc"


@strawberry.type(description="Where a page of a connection stands.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="An item and its place in the list.")
class Edge(Generic[T]):
    cursor: str
    node: T


@strawberry.type(description="A part of a list, found by cursor.")
class Connection(Generic[T]):
    edges: list[Edge[T]]
    nodes: list[T]
    page_info: PageInfo
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many items the whole list has.")
    async def total_count(self) -> int:
        return await self.count()


@strawberry.type(description="A numbered page of a list.")
class Page(Generic[T]):
    items: list[T]
    page: int = strawberry.field(description="Counts from 1.")
    page_size: int
    here: strawberry.Private[str]
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many items the whole list has.")
    async def total(self) -> int:
        return await self.count()

    @strawberry.field(description="How many pages the whole list has.")
    async def pages(self) -> int:
        return -(-await self.count() // self.page_size)

    @strawberry.field(description="Whether there is a page after this one.")
    async def has_next(self) -> bool:
        return self.page * self.page_size < await self.count()

    @strawberry.field(description="Whether there is a page before this one.")
    def has_previous(self) -> bool:
        return self.page > 1

    @strawberry.field(description="The same, with the addresses of the other pages.")
    async def pagination(self) -> Pagination:
        return pagination(self.here, await self.count(), self.page, self.page_size)


@strawberry.type(description="A part of a list, found by how many items come before it.")
class Slice(Generic[T]):
    items: list[T]
    limit: int
    offset: int
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="How many items the whole list has.")
    async def total(self) -> int:
        return await self.count()


class Asked(NamedTuple):
    """Which part of a list its arguments ask for."""

    filters: Mapping[str, Any]
    order: Order
    size: int
    page: int = 1
    here: str = ""
    place: Place | None = None
    is_backwards: bool = False

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.size

    @property
    def limit(self) -> int:
        """How many rows are read: beyond a cursor one more, to see whether there are more."""
        return self.size + 1

    @property
    def way(self) -> Order:
        """The order in which rows are read."""
        return self.order.reversed() if self.is_backwards else self.order

    def cut(self, rows: Sequence[T]) -> Sequence[T]:
        """The rows that are shown, in the order of the list."""
        return rows[: self.size][::-1] if self.is_backwards else rows[: self.size]

    def has_next(self, found: int) -> bool:
        return self.place is not None if self.is_backwards else found > self.size

    def has_previous(self, found: int) -> bool:
        return found > self.size if self.is_backwards else self.place is not None


@dataclass(frozen=True)
class Lists:
    """The lists of one noun, as the graph shows them.

    Its `filter` and `sort` are the GraphQL types of these arguments; the usual `sort` is the
    listing's default order.
    """

    noun: type
    listing: Listing
    filter: type | None = None
    sort: type[StrEnum] | None = None
    order: SortOrder = SortOrder.DESC

    async def connection(self, info: Info, **arguments: Any) -> Any:
        """A part of the list after, or before, a cursor. Raises `Invalid`, `InvalidFormat`."""
        asked, actor = self.asked_slice(arguments), info.context.signed_in
        found = await info.context.database.rows(
            self._selected(
                self.listing.beyond(actor, asked.filters, asked.way, asked.place, asked.limit)
            )
        )
        rows = list(asked.cut(found))
        edges = [Edge(cursor=self.listing.cursor_of(row, asked.order), node=row) for row in rows]
        return Connection(
            edges=edges,
            nodes=rows,
            page_info=PageInfo(
                has_next_page=asked.has_next(len(found)),
                has_previous_page=asked.has_previous(len(found)),
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
            count=self._counter(info, asked),
        )

    async def page(self, info: Info, **arguments: Any) -> Any:
        """A numbered page. Raises `Invalid`."""
        asked, actor = self.asked_page(arguments), info.context.signed_in
        rows = await info.context.database.rows(
            self._selected(
                self.listing.page(
                    actor, asked.filters, asked.order, limit=asked.size, offset=asked.offset
                )
            )
        )
        return Page(
            items=list(rows),
            page=asked.page,
            page_size=asked.size,
            here=asked.here,
            count=self._counter(info, asked),
        )

    async def slice(self, info: Info, limit: int, offset: int) -> Any:
        """The newest items behind an offset. Raises `Invalid`."""
        if not 0 <= offset <= LARGEST_OFFSET:
            raise Invalid("offset", f"Must be between 0 and {LARGEST_OFFSET}")
        asked = Asked({}, Order(self.listing.default_order), _size("limit", limit))
        statement = self.listing.page(
            info.context.signed_in, asked.filters, asked.order, limit=asked.size, offset=offset
        )
        rows = await info.context.database.rows(self._selected(statement))
        return Slice(items=list(rows), limit=limit, offset=offset, count=self._counter(info, asked))

    def asked_slice(self, arguments: Mapping[str, Any]) -> Asked:
        """What the arguments of a connection ask for."""
        first, after = arguments.get("first"), arguments.get("after")
        last, before = arguments.get("last"), arguments.get("before")
        if first is not None and last is not None:
            raise Invalid("first", "Give either first or last")
        is_backwards = last is not None or (before is not None and first is None)
        cursor, argument = (before, "before") if is_backwards else (after, "after")
        order = self._order(arguments)
        return Asked(
            self._filters(arguments),
            order,
            _size("last", last) if is_backwards else _size("first", first),
            place=self.listing.place_of(cursor, order, argument) if cursor else None,
            is_backwards=is_backwards,
        )

    def asked_page(self, arguments: Mapping[str, Any]) -> Asked:
        """What the arguments of a numbered page ask for."""
        page = arguments["page"]
        if not 1 <= page <= LAST_PAGE:
            raise Invalid("page", f"Must be between 1 and {LAST_PAGE}")
        size = _size("page_size", arguments["page_size"])
        return Asked(
            self._filters(arguments), self._order(arguments), size, page, arguments["here"]
        )

    def _filters(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        filters = arguments.get("filter")
        return {} if filters is None else self.listing.prepared(vars(filters))

    def _order(self, arguments: Mapping[str, Any]) -> Order:
        by = arguments.get("sort", self.listing.default_order)
        return Order(str(by), arguments["order"] is SortOrder.DESC)

    def _selected(self, statement: Select[Any]) -> Select[Any]:
        return statement.with_only_columns(*NOUNS[self.noun.__name__].select().selected_columns)

    def _counter(self, info: Info, asked: Asked) -> Callable[[], Awaitable[int]]:
        counted: list[int] = []

        async def count() -> int:
            if not counted:
                statement = self.listing.count(info.context.signed_in, asked.filters)
                counted.append(await info.context.database.scalar(statement))
            return counted[0]

        return count


def _size(argument: str, size: int | None) -> int:
    size = DEFAULT_ITEMS if size is None else size
    if not 1 <= size <= MOST_ITEMS:
        raise Invalid(argument, f"Must be between 1 and {MOST_ITEMS}")
    return size
