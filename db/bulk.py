"""One change to many tasks: to each whole or not at all, and to all in one commit."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from db import tasks
from db.actors import Actor
from db.engine import Tx
from db.errors import Invalid, Problem, RequiredField
from db.types import Permission

MOST_TASKS = 500

Change = Callable[[Tx, Actor, str], object]


class BulkOperation(StrEnum):
    """What is done to each of many tasks."""

    UPDATE_STATUS = "update_status"
    ASSIGN = "assign"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"
    DELETE = "delete"
    SET_PRIORITY = "set_priority"


@dataclass(frozen=True)
class Outcome:
    """What came of it for each task."""

    successful: list[str] = field(default_factory=list)
    failed: dict[str, Problem] = field(default_factory=dict)


def apply(
    tx: Tx,
    actor: Actor,
    operation: BulkOperation,
    task_ids: Iterable[str],
    data: Mapping[str, Any],
) -> Outcome:
    """Do it to each task, once; one that it can't be done to keeps no other from it.

    Raises `Invalid` or `RequiredField` when it can't be done to any.
    """
    actor.must(Permission.WRITE)
    return each(tx, actor, task_ids, _change(operation, data))


def each(tx: Tx, actor: Actor, task_ids: Iterable[str], change: Change) -> Outcome:
    """Make a change to each of some tasks. Raises `Invalid` for too many of them."""
    wanted = list(dict.fromkeys(task_ids))
    if len(wanted) > MOST_TASKS:
        raise Invalid("task_ids", f"Must be at most {MOST_TASKS} tasks", maximum=MOST_TASKS)
    outcome = Outcome()
    for task_id in wanted:
        try:
            with tx.savepoint():
                change(tx, actor, task_id)
        except Problem as problem:
            outcome.failed[task_id] = problem
        else:
            outcome.successful.append(task_id)
    return outcome


def _change(operation: BulkOperation, data: Mapping[str, Any]) -> Change:
    match operation:
        case BulkOperation.UPDATE_STATUS:
            return _setting(_given(data, "status", may_have=("progress_percentage",)))
        case BulkOperation.ASSIGN:
            return _setting(_given(data, "assigned_to"))
        case BulkOperation.SET_PRIORITY:
            return _setting(_given(data, "priority"))
        case BulkOperation.ADD_TAGS:
            tags = _given(data, "tags")["tags"]
            return _retagging(lambda old: [*old, *tags])
        case BulkOperation.REMOVE_TAGS:
            tags = _given(data, "tags")["tags"]
            return _retagging(lambda old: [tag for tag in old if tag not in tags])
        case BulkOperation.DELETE:
            return tasks.remove


def _given(data: Mapping[str, Any], name: str, may_have: tuple[str, ...] = ()) -> Mapping[str, Any]:
    if name not in data:
        raise RequiredField(f"data.{name}")
    return {word: data[word] for word in (name, *may_have) if word in data}


def _setting(changes: Mapping[str, Any]) -> Change:
    return lambda tx, actor, task_id: tasks.change(tx, actor, task_id, changes)


def _retagging(retag: Callable[[list[str]], list[str]]) -> Change:
    def change(tx: Tx, actor: Actor, task_id: str) -> None:
        tasks.get(tx, actor, task_id, changing=True)
        tags = tasks.locked(tx, task_id).tags
        tasks.change(tx, actor, task_id, {"tags": retag(tags)})

    return change
