"""GraphiQL: what /graphql shows to a browser."""

from pathlib import Path

from starlette.routing import BaseRoute

from graph.assets import PACKAGES, Page

STATIC = Path(__file__).parent / "static"

page = Page(
    STATIC / "graphiql.html",
    (
        STATIC / "explorer.css",
        STATIC / "explorer.js",
        PACKAGES / "graphiql" / "graphiql.min.css",
        PACKAGES / "graphiql" / "graphiql.min.js",
        PACKAGES / "@graphiql" / "plugin-explorer" / "dist" / "style.css",
        PACKAGES / "@graphiql" / "plugin-explorer" / "dist" / "index.umd.js",
        PACKAGES / "react" / "umd" / "react.production.min.js",
        PACKAGES / "react-dom" / "umd" / "react-dom.production.min.js",
    ),
)


def routes() -> list[BaseRoute]:
    """Where the page's files are."""
    return page.routes()
