"""What subscriptions make of the log of events."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from graph.updates import TaskCompleted, TaskFailed, TaskUpdate, task_news

DETAILS = {"exit_code": 1, "error_code": "TASK_EXECUTION_FAILED", "error": "Exited with code 1"}


@pytest.mark.parametrize(
    ("kind", "status", "end"),
    [("task.completed", "completed", TaskCompleted), ("task.failed", "failed", TaskFailed)],
)
def test_who_resumes_behind_the_update_gets_the_end_of_the_task(
    kind: str, status: str, end: type
) -> None:
    update, ended = task_news(event(kind, status))

    assert (TaskUpdate, "7-11") == (type(update), update.cursor)
    assert (end, "7-12") == (type(ended), ended.cursor)


def test_an_update_that_is_all_is_not_told_again() -> None:
    (update,) = task_news(event("task.started", "running"))

    assert "7-12" == update.cursor


def event(kind: str, status: str) -> Any:
    data = {"status": status, "progress_percentage": 0, "duration_seconds": 1, "details": DETAILS}
    now = datetime.now(UTC)
    return SimpleNamespace(kind=kind, tx=7, seq=12, at=now, task_id="a task", data=data)
