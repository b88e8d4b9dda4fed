"""GraphiQL and Swagger UI in a real browser, which reaches nothing but this server."""

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from playwright.async_api import Browser, Page, WebSocket, async_playwright, expect

from tests.fixtures.missing import not_tested
from tests.fixtures.server import PASSWORD, Served

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    # Whatever the pages may try, no other host has an address.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

PATIENCE_MILLISECONDS = 20_000


@dataclass
class Seen:
    """What a page asked for, and what went wrong in it."""

    addresses: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("websocket", self._watch_socket)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )

    def strangers(self, server: Served) -> list[str]:
        """Addresses that are not the server's."""
        ours = (server.url, server.ws_url, "data:", "blob:")
        return [address for address in self.addresses if not address.startswith(ours)]

    def _watch_socket(self, socket: WebSocket) -> None:
        self.addresses.append(socket.url)
        socket.on("framesent", lambda frame: self.sent.append(orjson.loads(frame)))


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        not_tested("THE WEB PAGES ARE NOT TESTED: there is no chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=FLAGS, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that remembers nothing."""
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    yield await context.new_page()
    await context.close()


async def test_swagger_ui_signs_in_and_calls_an_endpoint(sqlite_server: Served, page: Page) -> None:
    seen = Seen()
    seen.watch(page)
    await page.goto(f"{sqlite_server.url}/docs")

    login = page.locator("#operations-auth-Login")
    await login.locator(".opblock-summary-control").click()
    credentials = orjson.dumps({"username": "developer", "password": PASSWORD}).decode()
    await login.locator("textarea.body-param__text").fill(credentials)
    await login.get_by_role("button", name="Execute").click()
    await expect(login.locator(STATUS)).to_have_text("200")
    projects = page.locator("#operations-projects-ListProjects")
    await projects.locator(".opblock-summary-control").click()
    await projects.get_by_role("button", name="Execute").click()
    await expect(projects.locator(STATUS)).to_have_text("200")
    await expect(projects.locator(".live-responses-table")).to_contain_text('"total": 0')

    assert [] == seen.strangers(sqlite_server)
    assert [] == seen.complaints


async def test_graphiql_runs_a_query_and_a_subscription(sqlite_server: Served, page: Page) -> None:
    seen = Seen()
    seen.watch(page)
    await page.goto(f"{sqlite_server.url}/graphql")

    await page.get_by_placeholder("User name").fill("developer")
    await page.get_by_placeholder("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("output")).to_have_text("Signed in as developer")
    await run(page, "Overview")
    result = page.locator(".result-window")
    await expect(result).to_contain_text('"username": "developer"')
    await run(page, "RunCommand")
    await expect(result).to_contain_text('"executeCommand"')
    shown = orjson.loads(await page.evaluate(EDITOR + ".getValue()", ".result-window"))
    variables = orjson.dumps({"runId": shown["data"]["executeCommand"]["id"]}).decode()
    await page.evaluate(EDITOR + f".setValue({variables!r})", ".graphiql-editor-tool")
    await run(page, "Follow")
    await expect(result).to_contain_text('"exitCode": 0')

    token = seen.sent[0]["payload"]["Authorization"]
    stored = await page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    assert token.startswith("Bearer ")
    assert "commandOutput" in stored
    assert token.removeprefix("Bearer ") not in stored
    assert PASSWORD not in stored
    assert [] == seen.strangers(sqlite_server)
    assert [] == seen.complaints


STATUS = ".live-responses-table tbody .response-col_status"
EDITOR = "place => document.querySelector(`${place} .CodeMirror`).CodeMirror"


async def run(page: Page, operation: str) -> None:
    """Choose one of the operations in the editor, and run it."""
    await page.locator(".graphiql-execute-button").click()
    await page.get_by_role("menuitem", name=operation).click()
