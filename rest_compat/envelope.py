"""The documented envelope around data and errors, and the HTTP status of each error code."""

import time
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import orjson

from graph.context import Problem
from graph.http import Headers
from graph.version import VERSION

STATUS = {
    "AUTH_TOKEN_INVALID": HTTPStatus.UNAUTHORIZED,
    "AUTH_TOKEN_MISSING": HTTPStatus.UNAUTHORIZED,
    "AUTH_INSUFFICIENT_PERMISSIONS": HTTPStatus.FORBIDDEN,
    "AUTH_ACCOUNT_DISABLED": HTTPStatus.FORBIDDEN,
    "VALIDATION_ERROR": HTTPStatus.UNPROCESSABLE_ENTITY,
    "VALIDATION_REQUIRED_FIELD": HTTPStatus.UNPROCESSABLE_ENTITY,
    "VALIDATION_INVALID_FORMAT": HTTPStatus.UNPROCESSABLE_ENTITY,
    "VALIDATION_VALUE_TOO_LONG": HTTPStatus.UNPROCESSABLE_ENTITY,
    "VALIDATION_VALUE_TOO_SHORT": HTTPStatus.UNPROCESSABLE_ENTITY,
    "RESOURCE_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "RESOURCE_ALREADY_EXISTS": HTTPStatus.CONFLICT,
    "RESOURCE_IN_USE": HTTPStatus.CONFLICT,
    "RESOURCE_LIMIT_EXCEEDED": HTTPStatus.CONFLICT,
    "METHOD_NOT_ALLOWED": HTTPStatus.METHOD_NOT_ALLOWED,
    "TASK_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "TASK_ALREADY_RUNNING": HTTPStatus.CONFLICT,
    "TASK_CANCELLED": HTTPStatus.CONFLICT,
    "TASK_DEPENDENCY_NOT_MET": HTTPStatus.CONFLICT,
    # What failed is not this server but what it started.
    "TASK_EXECUTION_FAILED": HTTPStatus.BAD_GATEWAY,
    "TASK_TIMEOUT": HTTPStatus.BAD_GATEWAY,
    "PROJECT_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "PROJECT_ACCESS_DENIED": HTTPStatus.FORBIDDEN,
    "PROJECT_ARCHIVED": HTTPStatus.CONFLICT,
    "PROJECT_LIMIT_EXCEEDED": HTTPStatus.CONFLICT,
    "RATE_LIMIT_EXCEEDED": HTTPStatus.TOO_MANY_REQUESTS,
    "SYSTEM_MAINTENANCE": HTTPStatus.SERVICE_UNAVAILABLE,
    "SYSTEM_OVERLOADED": HTTPStatus.SERVICE_UNAVAILABLE,
    # The same request may succeed a moment later.
    "DATABASE_ERROR": HTTPStatus.SERVICE_UNAVAILABLE,
    "QUEUE_FULL": HTTPStatus.SERVICE_UNAVAILABLE,
    "WEBSOCKET_CONNECTION_FAILED": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""A code that is not here is our own mistake: 500."""
DATA = b'{"data":'
META = '{"timestamp":"%s","request_id":"%s","version":"%s"}'


class Refusal(Exception):
    """What is answered instead of data: a code, its words and its details."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        status: HTTPStatus | None = None,
        headers: Headers = (),
    ) -> None:
        self.code = code
        self.message = message
        self.details = details or {}
        self.status = status or STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
        self.headers = headers
        super().__init__(message)

    @classmethod
    def of_problem(cls, problem: Problem) -> "Refusal":
        """A Problem, as it is answered."""
        return cls(problem.code, problem.message, problem.details)

    @classmethod
    def of_error(cls, error: Mapping[str, Any]) -> "Refusal":
        """A formatted GraphQL error, as it is answered."""
        extensions = error["extensions"]
        return cls(extensions["code"], error["message"], extensions.get("details"))

    @classmethod
    def of_accident(cls) -> "Refusal":
        """What nobody expected; the log knows more."""
        return cls("INTERNAL_ERROR", "Internal server error")

    def error(self) -> dict[str, Any]:
        """The documented `error` object."""
        return {"code": self.code, "message": self.message, "details": self.details}


def required(field: str) -> Refusal:
    """A word is missing."""
    return _invalid("VALIDATION_REQUIRED_FIELD", field, "Field is required")


def malformed(field: str, issue: str) -> Refusal:
    """A word is not what its field holds."""
    return _invalid("VALIDATION_INVALID_FORMAT", field, issue)


def success(data: bytes, request_id: str) -> bytes:
    """The `data` object of an answer in the envelope, its bytes as they are.

    A root field named `data` is the data; one named `guard` may stand before it, which is only
    there to be refused. Else all root fields are the data.
    """
    if data.startswith((DATA, b'{"guard":')):
        data = data[data.index(b'"data":') + len(b'"data":') : -1]
    # What is written as it is are plain words, ids of requests too.
    meta = META % (now(), request_id, VERSION)
    return b"".join((DATA, data, b',"error":null,"meta":', meta.encode(), b"}"))


def failure(refusal: Refusal, request_id: str) -> bytes:
    """A refusal in the envelope."""
    meta = {"timestamp": now(), "request_id": request_id}
    return orjson.dumps({"data": None, "error": refusal.error(), "meta": meta})


def now() -> str:
    """The time as documented: `2025-07-30T12:00:00Z`."""
    return _written(int(time.time()))


@lru_cache(1)
def _written(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def _invalid(code: str, field: str, issue: str) -> Refusal:
    return Refusal(code, "Invalid input data", {"field": field, "issue": issue})
