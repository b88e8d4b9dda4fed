"""What /graphql shows to a browser; `pages/test_browser.py` uses it."""

import re

import pytest

from graph.execution import Executor
from graph.explorer import STATIC
from graph.schema import graphql_executor
from tests.fixtures.server import Served

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
EXAMPLES = re.search("EXAMPLES = `(.*?)`", (STATIC / "explorer.js").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def executor() -> Executor:
    return graphql_executor()


async def test_a_browser_gets_graphiql_with_all_its_files(sqlite_server: Served) -> None:
    async with sqlite_server.http(None) as client:
        page = await client.get("/graphql", headers=BROWSER)
        addresses = re.findall('(?:src|href)="(/static/.*?)"', page.text)
        answers = [await client.get(address) for address in addresses]

    assert "text/html; charset=utf-8" == page.headers["content-type"]
    assert 8 == len(answers)
    assert {200} == {answer.status_code for answer in answers}


@pytest.mark.parametrize("path", ["/graphql", "/docs"])
async def test_a_page_names_no_other_host_and_holds_no_script(
    sqlite_server: Served, path: str
) -> None:
    async with sqlite_server.http(None) as client:
        page = (await client.get(path, headers=BROWSER)).text

    loaded = re.findall('(?:src|href)="(.*?)"', page)
    assert [] == [address for address in loaded if not re.match("/[a-z]|data:,$", address)]
    assert page.count("<script") == page.count("></script>")
    assert "://" not in page


@pytest.mark.parametrize("name", ["Overview", "RunCommand", "Follow"])
def test_the_examples_fit_the_schema(executor: Executor, name: str) -> None:
    assert EXAMPLES

    assert name == executor.prepare(EXAMPLES[1], name).name


def test_signing_in_fits_the_schema(executor: Executor) -> None:
    sign_in = re.search("SIGN_IN = `(.*?)`", (STATIC / "explorer.js").read_text(), re.DOTALL)
    assert sign_in

    assert {"username", "password"} == executor.prepare(sign_in[1]).variables.keys()
