"""Migrations: once, whole or not at all, whoever comes first; and they make what we mean."""

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, make_url, select, text, update

from db import claims, migrations
from db.engine import Database, Tx
from db.migrations import UnknownRevision, is_current, is_empty, upgrade
from db.tables import events, leases, metadata, tasks, waiting, webhooks
from db.types import Lane
from tests.db import hooks, queues, record
from tests.db.queues import opened

NEXT = '''"""A migration of a later version."""

from alembic import op
from sqlalchemy import Column, Integer

revision, down_revision = "9999", "{head}"


def upgrade() -> None:
    op.create_table("later", Column("id", Integer, primary_key=True))
    {rest}
'''


async def test_an_empty_database_is_migrated_once(empty_database_url: str) -> None:
    before = await in_thread(is_empty, empty_database_url)
    changed = [await in_thread(upgrade, empty_database_url) for _ in range(2)]

    assert before
    assert [True, False] == changed
    assert not await in_thread(is_empty, empty_database_url)
    assert await in_thread(is_current, empty_database_url)


def test_migrations_are_told_by_their_files() -> None:
    script = ScriptDirectory(str(migrations.FOLDER))
    revisions = [known.revision for known in script.walk_revisions()]

    assert [*reversed(revisions)] == migrations._revisions()


async def test_of_four_that_migrate_at_once_one_does(empty_database_url: str) -> None:
    changed = await asyncio.gather(*(in_thread(upgrade, empty_database_url) for _ in range(4)))

    assert [False, False, False, True] == sorted(changed)
    assert await in_thread(is_current, empty_database_url)


async def test_the_migrations_make_the_tables_that_we_mean(database_url: str) -> None:
    assert [] == await differences(database_url)


async def test_a_database_of_the_first_version_keeps_what_is_in_it(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as then:
        then.setattr(migrations, "FOLDER", with_the_first(tmp_path))
        await in_thread(upgrade, empty_database_url)
    async with opened(empty_database_url, 1) as (database,):
        await database.write(lambda tx: tx.execute(text("UPDATE lanes SET paused_reason = name")))
    changed = await in_thread(upgrade, empty_database_url)
    async with opened(empty_database_url, 1) as (database,):
        kept = await database.rows(text("SELECT name FROM lanes WHERE paused_reason = name"))

    assert changed
    assert {"high", "normal", "low"} == {row.name for row in kept}
    assert [] == await differences(empty_database_url)


async def test_a_queue_of_an_older_version_goes_on_where_it_was(
    database_url: str,
) -> None:
    async with opened(database_url, 1) as (database,):
        await database.write(some_runs)
        before = await queue_of(database)
    await in_thread(back_to_0003, database_url)
    await in_thread(upgrade, database_url)
    async with opened(database_url, 1) as (database,):
        after = await queue_of(database)

    assert {"waiting": 2, "leases": 2, "tasks": 3} == {
        name: len(rows) for name, rows in before.items()
    }
    assert before == after
    assert [] == await differences(database_url)


async def test_a_migration_that_fails_leaves_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(migrations, "FOLDER", with_another(tmp_path, "op.execute('nonsense')"))
        with pytest.raises(Exception, match="nonsense"):
            await in_thread(upgrade, database_url)

    assert await in_thread(is_current, database_url)
    assert "later" not in await tables_of(database_url)


async def test_a_file_is_copied_before_it_is_migrated(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(make_url(sqlite_url).database or "")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE lanes SET paused_reason = 'as it was'")
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    monkeypatch.setattr(migrations, "FOLDER", with_another(tmp_path, ""))
    changed = await in_thread(upgrade, sqlite_url)

    copy = path.with_name(f"{path.name}.before-{revision}")
    with sqlite3.connect(copy) as connection:
        kept = connection.execute("SELECT DISTINCT paused_reason FROM lanes").fetchall()
        known = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert changed
    assert "later" in await tables_of(sqlite_url)
    assert ([("as it was",)], [(revision,)]) == (kept, known)


async def test_what_happens_after_a_dump_was_restored_elsewhere_is_delivered(
    postgres_url: str,
) -> None:
    """The other cluster has not counted as many transactions."""
    async with opened(postgres_url, 1) as (database,):
        ann, project_id = await hooks.project_of(database)
        await hooks.hook(database, ann, project_id=project_id)
        await record.task(database, ann, project_id)
        await hooks.spread(database, 1)
        there = 10_000_000_000
        await queues.carry_out(database, update(events).values(tx=events.c.tx + there))
        await queues.carry_out(database, update(webhooks).values(cursor_tx=there))
        changed = [await in_thread(upgrade, postgres_url) for _ in range(2)]
        await record.task(database, ann, project_id)
        delivered = await hooks.spread(database, 2)

    assert [True, False] == changed
    assert 2 == len(delivered)


async def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    async with opened(database_url, 1) as (database,):
        newer = text("UPDATE alembic_version SET version_num = 'newer'")
        await database.write(lambda tx: tx.execute(newer))

    for step in (upgrade, is_current):
        with pytest.raises(UnknownRevision, match="newer"):
            await in_thread(step, database_url)


def with_another(directory: Path, rest: str) -> Path:
    """The migrations, with one more that makes a table and then does the rest."""
    folder = Path(shutil.copytree(migrations.FOLDER, directory / "migrations"))
    heads = sorted(file.name.partition("_")[0] for file in (folder / "versions").glob("0*.py"))
    (folder / "versions" / "9999_later.py").write_text(NEXT.format(head=heads[-1], rest=rest))
    return folder


def with_the_first(directory: Path) -> Path:
    """The first migration alone."""
    folder = Path(shutil.copytree(migrations.FOLDER, directory / "first"))
    for later in sorted((folder / "versions").glob("0*.py"))[1:]:
        later.unlink()
    return folder


def some_runs(tx: Tx) -> None:
    """A task's run and a command that wait, and two tasks' that are running."""
    user = queues.add_user(tx, "user")
    project = queues.add_project(tx, user, 10)
    for task_id in queues.add_tasks(tx, user, project, 2):
        queues.enqueue(tx, user, Lane.HIGH, task_id=task_id, project_id=project)
    tx.enact(claims.claim(tx, claims.enlist(tx, "host", "boot", 1, 1, 2), 2))
    (task_id,) = queues.add_tasks(tx, user, project, 1)
    queues.enqueue(tx, user, Lane.LOW, task_id=task_id, project_id=project)
    queues.enqueue(tx, user, Lane.NORMAL)


async def queue_of(database: Database) -> dict[str, list[Any]]:
    """What the queue goes by."""
    found = {
        table.name: await database.rows(select(*columns).order_by(table.c.run_id))
        for table, columns in (
            # `due_at` is the run's own then, which was written a statement earlier.
            (waiting, [column for column in waiting.c if column is not waiting.c.due_at]),
            (leases, list(leases.c)),
        )
    }
    active = (tasks.c.id, tasks.c.active_run_id)
    found["tasks"] = await database.rows(
        select(*active).where(tasks.c.active_run_id.is_not(None)).order_by(tasks.c.id)
    )
    return {name: [row._asdict() for row in rows] for name, rows in found.items()}


def back_to_0003(url: str) -> None:
    def go_back(connection: Connection) -> None:
        if not connection.in_transaction():
            connection.begin()
        config = Config()
        config.set_main_option("script_location", str(migrations.FOLDER))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        connection.commit()

    migrations._asked(url, go_back)


async def differences(url: str) -> list[Any]:
    """What differs between a database's tables and those that we mean."""

    def compared(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        return list(compare_metadata(context, metadata))

    async with opened(url, 1) as (database,):
        return await database.write(lambda tx: compared(tx.connection))


def is_ours(_object: Any, name: str | None, kind: str, reflected: bool, _compared: Any) -> bool:
    """Not what only one of the databases has, for its searches."""
    return not (reflected and kind in ("table", "index") and str(name).startswith("search"))


async def tables_of(url: str) -> list[str]:
    async with opened(url, 1) as (database,):
        return await database.write(lambda tx: inspect(tx.connection).get_table_names())


async def in_thread(step: Any, url: str) -> Any:
    """The steps of the start run event loops of their own."""
    return await asyncio.to_thread(step, url)


async def test_many_open_a_migrated_file_at_once(empty_sqlite_url: str) -> None:
    path = make_url(empty_sqlite_url).database or ""
    await asyncio.to_thread(upgrade, empty_sqlite_url)

    with sqlite3.connect(path) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    async with opened(empty_sqlite_url, 10) as databases:
        moments = await asyncio.gather(*(each.scalar(text("SELECT 1")) for each in databases))

    assert "wal" == mode
    assert [1] * 10 == moments
