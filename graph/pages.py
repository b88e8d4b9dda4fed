"""Lists: Relay connections, and numbered pages for clients that count."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import strawberry

from db.errors import Invalid
from db.listing import Listing, Order
from graph.context import Info
from graph.nouns import NOUNS

T = TypeVar("T")

MOST_ITEMS = 100
DEFAULT_ITEMS = 50
LAST_PAGE = 1_000_000


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


@dataclass(frozen=True)
class Lists:
    """The lists of one noun, as the graph shows them."""

    noun: str
    listing: Listing

    async def connection(
        self,
        info: Info,
        filters: Mapping[str, Any],
        order: Order,
        first: int | None,
        after: str | None,
        last: int | None,
        before: str | None,
    ) -> Any:
        """A part of the list after, or before, a cursor. Raises `Invalid`, `InvalidFormat`."""
        backwards = last is not None or (before is not None and first is None)
        size = _size("last" if backwards else "first", last if backwards else first)
        if first is not None and last is not None:
            raise Invalid("first", "Give either first or last")
        cursor, argument = (before, "before") if backwards else (after, "after")
        place = self.listing.place_of(cursor, order, argument) if cursor else None
        way = order.reversed() if backwards else order
        rows = await self._rows(
            info, self.listing.beyond(info.context.signed_in, filters, way, place, size + 1)
        )
        more, rows = len(rows) > size, rows[:size]
        if backwards:
            rows = rows[::-1]
        edges = [Edge(cursor=self.listing.cursor_of(row, order), node=row) for row in rows]
        return Connection(
            edges=edges,
            nodes=rows,
            page_info=PageInfo(
                has_next_page=more if not backwards else before is not None,
                has_previous_page=more if backwards else after is not None,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
            count=self._counter(info, filters),
        )

    async def page(
        self, info: Info, filters: Mapping[str, Any], order: Order, page: int, page_size: int
    ) -> Any:
        """A numbered page. Raises `Invalid`."""
        if not 1 <= page <= LAST_PAGE:
            raise Invalid("page", f"Must be between 1 and {LAST_PAGE}")
        size = _size("page_size", page_size)
        statement = self.listing.page(
            info.context.signed_in, filters, order, limit=size, offset=(page - 1) * size
        )
        rows = await self._rows(info, statement)
        return Page(items=rows, page=page, page_size=size, count=self._counter(info, filters))

    async def _rows(self, info: Info, statement: Any) -> list[Any]:
        columns = NOUNS[self.noun].select().selected_columns
        return list(await info.context.database.rows(statement.with_only_columns(*columns)))

    def _counter(self, info: Info, filters: Mapping[str, Any]) -> Callable[[], Awaitable[int]]:
        counted: list[int] = []

        async def count() -> int:
            if not counted:
                statement = self.listing.count(info.context.signed_in, filters)
                counted.append(await info.context.database.scalar(statement))
            return counted[0]

        return count


def given(filters: Any) -> dict[str, Any]:
    """The filters that an input object sets."""
    if filters is None:
        return {}
    return {name: value for name, value in vars(filters).items() if value is not None}


def order_of(sort: StrEnum, order: SortOrder) -> Order:
    return Order(sort.value, order is SortOrder.DESC)


def _size(argument: str, size: int | None) -> int:
    size = DEFAULT_ITEMS if size is None else size
    if not 1 <= size <= MOST_ITEMS:
        raise Invalid(argument, f"Must be between 1 and {MOST_ITEMS}")
    return size
