"""Alembic's entry point: the connection is handed over by `db.migrations`."""

from alembic import context

from db.tables import metadata


def _is_described(name: str | None, _type: str, _parents: object) -> bool:
    """The search index stands in its migration alone, with the tables that SQLite makes for it."""
    return not (name or "").startswith("search")


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_name=_is_described,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
