"""Which web pages may open a WebSocket: our own, and those that the operator lists."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit


def is_allowed(headers: Mapping[str, str], allowed: Sequence[str]) -> bool:
    """True for requests of the same origin, of a listed one, or of no web page at all.

    Browsers do not apply CORS to WebSockets: who does not look at `Origin` lets every page in.
    """
    origin = headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return True
    return urlsplit(origin).netloc == headers.get("host")
