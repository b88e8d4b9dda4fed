"""Many rows at once: as if each had been written by itself, in the order given."""

from sqlalchemy import select

from db import batches
from db.engine import Database
from db.events import Fact, tell_all
from db.postgres import with_driver
from db.tables import events, tasks


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
    statement = batches._add_by_arrays(tasks, ("id", "title", "status"), ())

    assert "VARCHAR(" not in statement._for(dialect).sql
