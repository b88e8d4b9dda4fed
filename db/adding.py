"""How a new task gets into the record: at once on PostgreSQL, where each statement is a journey."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ARRAY, Insert, Table, Text, bindparam, func, insert, select

from db import events
from db.engine import Moment
from db.statements import Part, Statement, Writing
from db.tables import documents, task_tags, tasks
from db.tables import events as log
from db.words import Document

ABSENT = {"description": None, "estimated_seconds": None, "assigned_to": None, "auto_start": False}


def add(
    at: Moment, task: Mapping[str, Any], document: Document, fact: events.Fact
) -> Writing[None]:
    """Write a new task, the words and the tags by which it is found, and what is told of it."""
    values = {
        **named(tasks, {**ABSENT, **task}),
        **named(log, events.row_of(at, fact)),
        "documents_id": task["id"],
        "documents_words": document,
        "tasks_tag_array": task["tags"],
    }
    if at.dialect_name == "postgresql":
        yield _AT_ONCE, values
    else:
        for statement in (_TASK, _DOCUMENT, _EVENT):
            yield statement, values
        for tag in task["tags"]:
            yield _TAG, {"task_tags_task_id": task["id"], "task_tags_tag": tag}
    events.hint(at, fact)


def named(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values by names that several tables' can't share."""
    return {f"{table.name}_{column}": value for column, value in row.items()}


def _insert(table: Table, *columns: str) -> Insert:
    values = {name: bindparam(f"{table.name}_{name}", type_=table.c[name].type) for name in columns}
    return insert(table).values(values).inline()


_into_tasks = _insert(
    tasks, "id", "project_id", "title", "description", "status", "priority", "progress_percentage",
    "estimated_seconds", "assigned_to", "created_by", "tags", "metadata", "auto_start",
    "created_at", "updated_at",
)  # fmt: skip
_into_documents = _insert(documents, "id", "words")
_into_events = _insert(log, *events.GIVEN, "data").values(tx=events.current_tx())
_its_tags = select(
    bindparam("tasks_id", type_=tasks.c.id.type),
    func.unnest(bindparam("tasks_tag_array", type_=ARRAY(Text))),
)
_into_tags = insert(task_tags).from_select(["task_id", "tag"], _its_tags)

_TASK, _DOCUMENT, _EVENT = map(Statement, (_into_tasks, _into_documents, _into_events))
_TAG = Statement(_insert(task_tags, "task_id", "tag"))
_AT_ONCE = Statement(
    _into_events.add_cte(
        _into_tasks.cte("task"), _into_documents.cte("document"), _into_tags.cte("tags")
    ),
    Part.IS_ALL,
)
