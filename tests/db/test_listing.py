"""Lists: a part at a time, forwards or backwards, without a gap and without a repeat."""

import base64
import sqlite3
from contextlib import closing
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from db import tables, tasks, users
from db.actors import Actor
from db.engine import Database
from db.errors import Problem
from db.listing import LONGEST_PART, Order, one_of
from db.statements import Compiled
from db.types import Role
from tests.db import record
from tests.db.queues import opened

LISTING = tasks.LISTING
BY_PRIORITY = Order("priority")
BY_TIME = Order("created_at", descending=False)


async def in_parts(database: Database, actor: Actor, order: Order, size: int) -> list[list[str]]:
    """The titles of a whole list, a part after the other."""
    parts: list[list[str]] = []
    place = None
    while True:
        rows = await database.rows(LISTING.beyond(actor, {}, order, place, size))
        if not rows:
            return parts
        parts.append([row.title for row in rows])
        place = LISTING.place_of(LISTING.cursor_of(rows[-1], order), order, "after")


@pytest.mark.parametrize("order", [BY_PRIORITY, BY_PRIORITY.reversed(), BY_TIME, Order("title")])
async def test_the_parts_of_a_list_make_the_whole(database: Database, order: Order) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    for number in range(7):
        # Three share a priority: then the id decides.
        await record.task(database, ann, project, title=f"{number}", priority=number // 3)

    parts = await in_parts(database, ann, order, 2)
    backwards = await in_parts(database, ann, order.reversed(), 3)
    in_order = {"priority": "6543210", "created_at": "0123456", "title": "6543210"}[order.by]
    expected = in_order if order.descending or order.by == "created_at" else in_order[::-1]
    assert [2, 2, 2, 1] == [len(part) for part in parts]
    assert list(expected) == [title for part in parts for title in part]
    assert list(expected)[::-1] == [title for part in backwards for title in part]


async def test_a_numbered_page_is_counted_from_the_start(database: Database) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    for number in range(5):
        await record.task(database, ann, project, title=f"{number}")

    page = await database.rows(LISTING.page(ann, {}, BY_TIME, limit=2, offset=2))
    count = await database.scalar(LISTING.count(ann, {}))
    assert ["2", "3"] == [row.title for row in page]
    assert 5 == count


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": ["pending", "running"]}, "abc"),
        ({"status": ["running"]}, ""),
        ({"priority": 5}, "bc"),
        ({"tags": ["red"]}, "ac"),
        ({"tags": ["red", "blue"]}, "abc"),
        ({"tags": ["red"], "priority": 5}, "c"),
        ({"status": []}, ""),
    ],
    ids=repr,
)
async def test_a_list_shows_what_every_filter_lets_through(
    database: Database, filters: dict[str, Any], expected: str
) -> None:
    ann = await record.person(database)
    project = await record.project(database, ann)
    await record.task(database, ann, project, title="a", priority=1, tags=["red"])
    await record.task(database, ann, project, title="b", priority=5, tags=["blue"])
    await record.task(database, ann, project, title="c", priority=9, tags=["red", "blue"])

    wanted = LISTING.prepared(filters)
    rows = await database.rows(LISTING.page(ann, wanted, BY_TIME, limit=9, offset=0))
    assert expected == "".join(row.title for row in rows)


async def test_a_list_shows_nobody_what_is_not_theirs(database: Database) -> None:
    ann, bob = await record.person(database), await record.person(database, "bob")
    root = await record.person(database, "root", Role.ADMIN)
    await record.task(database, ann, await record.project(database, ann), title="of ann")
    await record.task(database, bob, await record.project(database, bob), title="of bob")

    found = {}
    for who in (ann, bob, root):
        rows = await database.rows(LISTING.page(who, {}, BY_TIME, limit=9, offset=0))
        found[who.username] = [row.title for row in rows]
    assert {"ann": ["of ann"], "bob": ["of bob"], "root": ["of ann", "of bob"]} == found


@pytest.mark.parametrize(
    "place",
    [
        "rubbish",
        "é",
        ["priority", 1],
        ["title", "a", "x"],
        ["priority", "1", "x"],
        ["priority", None, "x"],
        ["priority", True, "x"],
        ["priority", 1.5, "x"],
        ["priority", 2**31, "x"],
        ["priority", 1, 1],
        {"priority": 1},
        None,
    ],
    ids=repr,
)
def test_a_cursor_of_another_list_is_refused(place: Any) -> None:
    cursor = place if isinstance(place, str) else encoded(place)
    with pytest.raises(Problem) as refused:
        LISTING.place_of(cursor, BY_PRIORITY, "after")

    assert ("VALIDATION_INVALID_FORMAT", "after") == (
        refused.value.code,
        refused.value.details["field"],
    )


@pytest.mark.parametrize(
    "value",
    [5, None, "yesterday", "2026-01-31T12:00:00", "0001-01-01T00:00:00+14:00"],
    ids=repr,
)
def test_a_cursor_that_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(Problem, match="Invalid input"):
        LISTING.place_of(encoded(["created_at", value, "x"]), BY_TIME, "before")


def encoded(place: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


async def test_rows_of_many_ids_are_found_by_index(sqlite_url: str) -> None:
    """SQLAlchemy would compare the list with 1 on SQLite, which then reads the whole table."""
    statement = select(tables.tasks.c.id).where(one_of(tables.tasks.c.id, ["a", "b"]))
    async with opened(sqlite_url, 1) as (database,):
        fetch = Compiled(statement, database.dialect).fetch({})
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {fetch.sql}", fetch.parameters).fetchall()

    assert "SEARCH tasks USING" in plan[0][3]


def test_a_part_of_a_text_to_look_for_is_bounded() -> None:
    """SQLite refuses a pattern of 50,000 bytes."""
    prepare = users.ACCOUNTS.filters["search"].prepare
    with pytest.raises(Problem) as refused:
        prepare("%" * (LONGEST_PART + 1))

    assert "VALIDATION_VALUE_TOO_LONG" == refused.value.code
    assert "%" + "/%" * LONGEST_PART + "%" == prepare("%" * LONGEST_PART)
