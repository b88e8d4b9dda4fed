"""Brings a database to the schema of this version, under a lock, once.

Alembic is slow to import: it is, when there is something to do.
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, NullPool, create_engine, event, inspect, make_url, text

FOLDER = Path(__file__).parent
LOCK = 727275

T = TypeVar("T")


class UnknownRevision(Exception):
    """The database was written by a newer version of this program."""


def upgrade(url: str) -> bool:
    """Migrate a database to the newest schema; True when there was something to do.

    A SQLite file is copied beside itself first. What a dump has brought to another PostgreSQL is
    made to fit there. Raises `UnknownRevision`.
    """
    if url.startswith("sqlite"):
        return _upgrade_sqlite(_file_of(url))
    return _on_postgres(url, _upgrade_postgres)


def is_empty(url: str) -> bool:
    """True when nothing has been made in the database yet."""
    return _asked(url, _revision_of) is None


def is_current(url: str) -> bool:
    """True when the database has the newest schema. Raises `UnknownRevision`."""
    return not _asked(url, _is_behind)


def _asked(url: str, question: Callable[[Connection], T]) -> T:
    if url.startswith("sqlite"):
        path = _file_of(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _sqlite_connection(path) as connection:
            return question(connection)
    return _on_postgres(url, question)


def _file_of(url: str) -> Path:
    return Path(make_url(url).database or "")


def _upgrade_sqlite(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{path.name}.lock")), _sqlite_connection(path) as connection:
        # Once, by whoever comes first: several at the same time would find the file locked.
        connection.connection.cursor().execute("PRAGMA journal_mode = WAL")
        if not _is_behind(connection):
            return False
        if revision := _revision_of(connection):
            _copy(path, path.with_name(f"{path.name}.before-{revision}"))
        connection.rollback()
        with connection.begin():
            _run(connection)
            if broken := connection.execute(text("PRAGMA foreign_key_check")).all():
                raise RuntimeError(f"the migration would leave dangling rows: {broken[:3]}")
        return True


def _upgrade_postgres(connection: Connection) -> bool:
    connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    if behind := _is_behind(connection):
        _run(connection)
    return _forget_other_clusters(connection) or behind


def _forget_other_clusters(connection: Connection) -> bool:
    """Let events that came with a dump be older than all that is told from now on.

    They bear the numbers of another cluster's transactions. Where this one has not counted as far,
    what is new would come before them, and so before every webhook's place in the log.
    """
    ahead = connection.scalar(text(_IS_AHEAD))
    if ahead:
        connection.execute(text("UPDATE events SET tx = 0"))
        connection.execute(text("UPDATE webhooks SET cursor_tx = 0"))
    return bool(ahead)


_IS_AHEAD = "SELECT max(tx) > CAST(CAST(pg_current_xact_id() AS text) AS bigint) FROM events"


def _on_postgres(url: str, work: Callable[[Connection], T]) -> T:
    from db.postgres import once  # noqa: PLC0415

    return asyncio.run(once(url, work))


def _revision_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _is_behind(connection: Connection) -> bool:
    known = _revisions()
    revision = _revision_of(connection)
    if revision and revision not in known:
        raise UnknownRevision(revision)
    return revision != known[-1]


def _revisions() -> list[str]:
    """All of them, oldest first: their files begin with them."""
    return sorted(file.name.partition("_")[0] for file in (FOLDER / "versions").glob("[0-9]*.py"))


def _run(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _sqlite_connection(path: Path) -> Iterator[Connection]:
    # Of its own, with foreign keys off: a batch migration drops and renames tables, which would
    # otherwise cascade. BEGIN comes before the DDL, so that a failure leaves nothing behind.
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.connect() as connection:
        yield connection


def _copy(path: Path, to: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
