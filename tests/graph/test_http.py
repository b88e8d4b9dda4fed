"""What requests have in common."""

from contextvars import copy_context
from typing import Any

import pytest

from db.errors import TokenInvalid
from graph.http import LONGEST_AUTHORIZATION, Request, bearer_token, with_request_id


def logged(event: dict[str, Any], request_id: str | None = None) -> Any:
    """What the log gets while a request is answered, if one is."""

    def log() -> Any:
        if request_id:
            headers = [(b"x-request-id", request_id.encode())]
            Request({"method": "GET", "headers": headers}, receive=None)  # type: ignore[arg-type]
        return with_request_id(None, "info", event)

    return copy_context().run(log)


def test_what_is_logged_within_a_request_has_its_id() -> None:
    assert {"event": "found", "request_id": "7"} == logged({"event": "found"}, "7")


def test_what_is_logged_of_a_request_keeps_the_id_that_it_names() -> None:
    assert {"request_id": "8"} == logged({"request_id": "8"}, "7")


def test_what_is_logged_outside_of_requests_has_no_id() -> None:
    assert {"event": "found"} == logged({"event": "found"})


def test_a_token_may_be_as_long_as_its_header() -> None:
    token = "x" * (LONGEST_AUTHORIZATION - len("Bearer "))

    assert token == bearer_token(f"Bearer {token}".encode())


def test_a_longer_header_is_refused_and_not_kept() -> None:
    known = bearer_token.cache_info().currsize
    with pytest.raises(TokenInvalid):
        bearer_token(b"Bearer ".ljust(LONGEST_AUTHORIZATION, b"\t") + b"x")

    assert known == bearer_token.cache_info().currsize
