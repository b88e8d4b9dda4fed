"""The addresses of a list's pages, for clients that follow links."""

import strawberry

PAGE = "page"
PAGE_SIZE = "page_size"
OF_THE_PAGE = ("", PAGE, PAGE_SIZE)


@strawberry.type(description="The addresses of other pages; null where there is none.")
class PageLinks:
    first: str
    previous: str | None
    next: str | None
    last: str


@strawberry.type(description="Where a page stands, and how to get to the others.")
class Pagination:
    total: int = strawberry.field(description="How many items the whole list has.")
    page: int = strawberry.field(description="Counts from 1.")
    page_size: int
    pages: int = strawberry.field(description="How many pages the whole list has.")
    links: PageLinks


def pagination(here: str, total: int, page: int, page_size: int) -> Pagination:
    """Where a page stands in a list of so many items; `here` is the page's own address."""
    pages = -(-total // page_size)
    path, _, query = here.partition("?")
    words = [word for word in query.split("&") if word.partition("=")[0] not in OF_THE_PAGE]
    start = f"{path}?{'&'.join([*words, ''])}"

    def link(to: int) -> str:
        return f"{start}{PAGE}={to}&{PAGE_SIZE}={page_size}"

    links = PageLinks(
        first=link(1),
        previous=link(page - 1) if page > 1 else None,
        next=link(page + 1) if page < pages else None,
        last=link(max(pages, 1)),
    )
    return Pagination(total=total, page=page, page_size=page_size, pages=pages, links=links)
