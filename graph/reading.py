"""One row of a noun by its id, as far as the actor may see it."""

from typing import Any

from sqlalchemy import Select, select

from db.errors import Problem, ProjectNotFound, ResourceNotFound, TaskNotFound
from db.listing import Listing
from graph.context import Context
from graph.nouns import NOUNS


async def find(context: Context, noun: str, listing: Listing, id_: str) -> Any | None:
    """The row, or None when there is none that the actor may see."""
    statement = NOUNS[noun].select()
    visible = listing.one(context.signed_in)
    return await context.database.first(statement.where(listing.table.c.id == id_, visible))


async def get(context: Context, noun: str, listing: Listing, id_: str) -> Any:
    """The row. Raises the noun's «not found»."""
    row = await find(context, noun, listing, id_)
    if row is None:
        raise not_found(noun, id_)
    return row


def in_view(context: Context, listing: Listing, id_: str) -> Select[Any]:
    """The id of a row, deleted or not, as long as the actor may see it."""
    seen = listing.visible_to(context.signed_in)
    return select(listing.table.c.id).where(listing.table.c.id == id_, seen)


def not_found(noun: str, id_: str) -> Problem:
    """What is said of a row that there is not, or not for the actor."""
    match noun:
        case "Task":
            return TaskNotFound(task_id=id_)
        case "Project":
            return ProjectNotFound(project_id=id_)
        case _:
            return ResourceNotFound(resource=noun.lower(), id=id_)
