"""Pages and their files."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from graph.assets import ASK_AGAIN, FOREVER, POLICY, Page


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "hello.html").write_text('<script src="hello.js"></script>')
    (tmp_path / "hello.js").write_text("greet();")
    return Page(tmp_path / "hello.html", [tmp_path / "hello.js"])


@pytest.fixture
async def client(page: Page) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=[Route("/hello", page), *page.routes()])
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_page_is_served_under_a_strict_policy(client: httpx2.AsyncClient) -> None:
    response = await client.get("/hello")

    assert 200 == response.status_code
    assert "text/html; charset=utf-8" == response.headers["content-type"]
    assert POLICY == response.headers["content-security-policy"]
    assert "nosniff" == response.headers["x-content-type-options"]
    assert ASK_AGAIN == response.headers["cache-control"]


async def test_a_file_may_be_kept_at_the_address_that_the_page_gives(
    client: httpx2.AsyncClient,
) -> None:
    page = (await client.get("/hello")).text
    response = await client.get(page.split('"')[1])

    assert "greet();" == response.text
    assert "text/javascript; charset=utf-8" == response.headers["content-type"]
    assert "nosniff" == response.headers["x-content-type-options"]
    assert FOREVER == response.headers["cache-control"]


async def test_a_file_is_not_kept_at_the_address_of_another_version(
    client: httpx2.AsyncClient,
) -> None:
    response = await client.get("/static/hello/hello.js?v=0123456789abcdef")

    assert "greet();" == response.text
    assert ASK_AGAIN == response.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["hello.html", "other.js", "%2e%2e%2fhello.html", "..%2fhello.html", ""]
)
async def test_nothing_but_the_files_of_the_page_is_served(
    client: httpx2.AsyncClient, path: str
) -> None:
    response = await client.get(f"/static/hello/{path}")

    assert 404 == response.status_code


async def test_a_page_says_what_to_do_when_its_files_were_not_fetched(
    client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "hello.js").unlink()
    response = await client.get("/hello")

    assert 503 == response.status_code
    assert "hello.js is missing: run `make install`.\n" == response.text
