"""One row of a noun by its id, as far as the actor may see it."""

from typing import Any

from db.errors import ProjectNotFound, ResourceNotFound, TaskNotFound
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
        match noun:
            case "Task":
                raise TaskNotFound(task_id=id_)
            case "Project":
                raise ProjectNotFound(project_id=id_)
            case _:
                raise ResourceNotFound(resource=noun.lower(), id=id_)
    return row
