"""How many requests and sockets there may be, and how an answer tells it."""

from tests.contract.shapes import COUNT, NULL, TIME, WORDS

WINDOW_SECONDS = 60
REQUESTS_PER_ADDRESS = 100
REQUESTS_PER_USER = 200
REQUESTS_PER_PREMIUM_USER = 500
SOCKETS_PER_USER = 50

HEADERS = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Window",
)

EXCEEDED = {
    "data": NULL,
    "error": {
        "code": WORDS,
        "message": WORDS,
        "details": {"limit": COUNT, "window": COUNT, "reset_at": TIME},
    },
}
