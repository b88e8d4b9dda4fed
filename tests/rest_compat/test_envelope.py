"""The envelope around what is answered."""

from datetime import UTC, datetime

import orjson
import pytest

from graph.context import Problem
from rest_compat import envelope
from rest_compat.envelope import Refusal


class QueueFull(Problem):
    """The task queue is full."""

    code = "QUEUE_FULL"


def test_a_root_field_named_data_is_the_data() -> None:
    answer = orjson.loads(envelope.success(b'{"data":{"id":"1","data":[]}}', "r-1"))

    assert {"id": "1", "data": []} == answer["data"]
    assert ["data", "error", "meta"] == list(answer)
    assert answer["error"] is None


def test_a_guard_is_not_shown() -> None:
    answer = orjson.loads(envelope.success(b'{"guard":{"id":"1"},"data":{"data":[]}}', "r-1"))

    assert {"data": []} == answer["data"]


def test_root_fields_of_other_names_are_all_data() -> None:
    answer = orjson.loads(envelope.success(b'{"items":[{"data":1}],"total":1}', "r-1"))

    assert {"items": [{"data": 1}], "total": 1} == answer["data"]


def test_meta_has_the_time_the_request_and_the_version() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    meta = orjson.loads(envelope.success(b'{"data":1}', "r-1"))["meta"]

    assert ["timestamp", "request_id", "version"] == list(meta)
    assert meta["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(meta["timestamp"]) <= datetime.now(UTC)
    assert ("r-1", "1.0.0") == (meta["request_id"], meta["version"])


def test_a_failure_has_code_message_and_details() -> None:
    answer = orjson.loads(envelope.failure(envelope.required("title"), "r-1"))

    assert ["data", "error", "meta"] == list(answer)
    assert answer["data"] is None
    assert {
        "code": "VALIDATION_REQUIRED_FIELD",
        "message": "Invalid input data",
        "details": {"field": "title", "issue": "Field is required"},
    } == answer["error"]
    assert ["timestamp", "request_id"] == list(answer["meta"])


def test_a_problem_and_a_graphql_error_are_told_alike() -> None:
    problem = Refusal.of_problem(QueueFull(limit=5))
    error = Refusal.of_error(
        {
            "message": "The task queue is full.",
            "path": ["data"],
            "extensions": {"code": "QUEUE_FULL", "details": {"limit": 5}, "requestId": "r-1"},
        }
    )

    assert problem.error() == error.error()
    assert 503 == problem.status == error.status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AUTH_TOKEN_INVALID", 401),
        ("AUTH_ACCOUNT_DISABLED", 403),
        ("PROJECT_NOT_FOUND", 404),
        ("TASK_ALREADY_RUNNING", 409),
        ("VALIDATION_VALUE_TOO_LONG", 422),
        ("RATE_LIMIT_EXCEEDED", 429),
        ("INTERNAL_ERROR", 500),
        ("A_CODE_THAT_NOBODY_KNOWS", 500),
    ],
)
def test_a_code_has_its_status(code: str, status: int) -> None:
    refusal = Refusal(code, "words")

    assert status == refusal.status
