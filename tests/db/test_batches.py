"""Many rows at once: as if each had been written by itself, in the order given."""

from sqlalchemy import select

from db import batches
from db.engine import Database, Tx
from db.events import Fact, tell_all
from db.postgres import with_driver
from db.tables import events, tasks
from db.types import TaskStatus
from tests.db import queues


async def test_rows_of_several_kinds_are_changed_each_to_its_own_values(
    database: Database,
) -> None:
    def unit(tx: Tx) -> list[str]:
        user = queues.add_user(tx, "user")
        ids = queues.add_tasks(tx, user, queues.add_project(tx, user, 1), 4)
        batches.change(
            tx,
            tasks,
            [
                {"id": ids[0], "status": TaskStatus.RUNNING, "started_at": tx.now},
                {"id": ids[1], "status": TaskStatus.FAILED, "started_at": None},
                {"id": ids[2], "progress_percentage": 40},
            ],
        )
        return ids

    ids = await database.write(unit)
    found = {row.id: row for row in await database.rows(select(tasks))}

    assert ["running", "failed", "pending", "pending"] == [found[id_].status for id_ in ids]
    assert [0, 0, 40, 0] == [found[id_].progress_percentage for id_ in ids]
    assert [True, False, False, False] == [found[id_].started_at is not None for id_ in ids]


async def test_rows_are_added_in_their_order(database: Database) -> None:
    facts = [
        Fact(kind=f"kind.{number}", actor=None, data={"number": number, "text": 'é"\n'})
        for number in range(50)
    ]
    await database.write(tell_all, facts)
    found = await database.rows(select(events).order_by(events.c.seq))

    assert [(fact.kind, fact.data) for fact in facts] == [(row.kind, row.data) for row in found]


def test_no_length_is_cut_off_on_the_way() -> None:
    dialect = with_driver("postgresql://").get_dialect()()
    statement = batches._change_by_arrays(tasks, ("id", "title", "status"))

    assert "VARCHAR(" not in statement._for(dialect).sql
