"""Pages for browsers, with files of ours and of the npm packages that `make install` fetches."""

import hashlib
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

PACKAGES = Path(__file__).parents[1] / "assets" / "node_modules"

# No page loads anything from another host, nor runs what is written into it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


class Page:
    """A page, as an ASGI application, and the files that it loads.

    The page names its files as they are called (`"swagger-ui.css"`). It is served with their
    addresses below /static, which change with their content, so that browsers may keep them.
    """

    def __init__(self, page: Path, files: Iterable[Path]) -> None:
        self._page = page
        self._files = {file.name: file for file in files}
        self._folder = f"/static/{page.stem}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            html = await to_thread.run_sync(lambda: self._html)
        except FileNotFoundError as error:
            response: Response = PlainTextResponse(
                f"{Path(error.filename).name} is missing: run `make install`.\n", 503
            )
        else:
            response = Response(html, headers=_headers(ASK_AGAIN), media_type="text/html")
            response.headers["content-security-policy"] = POLICY
        await response(scope, receive, send)

    def routes(self) -> list[BaseRoute]:
        """Where its files are."""
        return [Route(f"{self._folder}/{{name}}", self._file)]

    @cached_property
    def _html(self) -> str:
        html = self._page.read_text()
        for name, file in self._files.items():
            html = html.replace(f'"{name}"', f'"{self._folder}/{name}?v={_digest(file)}"')
        return html

    async def _file(self, request: Request) -> Response:
        file = self._files.get(request.path_params["name"])
        if file is None or not file.is_file():
            return PlainTextResponse("Not Found", 404)
        # A page of another version may ask: what we have is not to be kept at that address.
        is_asked = request.query_params.get("v") == await to_thread.run_sync(_digest, file)
        return FileResponse(file, headers=_headers(FOREVER if is_asked else ASK_AGAIN))


@cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _headers(cache_control: str) -> dict[str, str]:
    return {
        "cache-control": cache_control,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
