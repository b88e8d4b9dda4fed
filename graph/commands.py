"""Commands: which were run, which may be meant, and what is to be said of one before it runs."""

import strawberry

from db import commands
from db.errors import Invalid
from db.types import Permission
from db.validation import text
from graph import advice, suggestions
from graph.context import Info
from graph.pages import DEFAULT_ITEMS, Lists, Slice
from graph.permissions import can
from graph.types import Run

HISTORY = Lists(Run, commands.LISTING)
LONGEST_CHECKED = 10_000
LONGEST_WORD = 1000
MOST_SUGGESTIONS = 50


@strawberry.type(description="A command that may be meant.")
class CommandSuggestion:
    command: str
    description: str
    category: str = strawberry.field(description="`git`, `files`, … or `history`.")


@strawberry.type(
    description="What is to be said of a command: advice for people, not a sandbox. Whoever wants "
    "to get around it can, and a command without warnings may still do harm."
)
class CommandAdvice:
    valid: bool = strawberry.field(
        description="Whether a shell can read it, and it does not ruin the system if it runs."
    )
    safe: bool | None = strawberry.field(
        description="Whether there are no warnings; null when its safety was not checked."
    )
    warnings: list[str] = strawberry.field(description="What may go wrong.")
    suggestions: list[str] = strawberry.field(description="What to do instead.")


@strawberry.type
class CommandQuery:
    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="Commands of their own, whatever became of them, newest first, by offset.",
    )
    async def command_history(
        self, info: Info, limit: int = DEFAULT_ITEMS, offset: int = 0
    ) -> Slice[Run]:
        return await HISTORY.slice(info, limit, offset)

    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="Commands that may be meant, the best first: of those that the caller has run "
        "with success, and of a catalogue.",
    )
    async def command_suggestions(
        self, info: Info, context: str = "", prefix: str = "", limit: int = 10
    ) -> list[CommandSuggestion]:
        if not 1 <= limit <= MOST_SUGGESTIONS:
            raise Invalid("limit", f"Must be between 1 and {MOST_SUGGESTIONS}")
        text("context", context, longest=LONGEST_WORD)
        text("prefix", prefix, longest=LONGEST_WORD)
        habits = await info.context.database.rows(commands.habits(info.context.signed_in))
        return [
            CommandSuggestion(
                command=found.command, description=found.description, category=found.category
            )
            for found in suggestions.suggested(habits, context=context, prefix=prefix, limit=limit)
        ]

    @strawberry.field(
        permission_classes=can(Permission.READ),
        description="What a shell would make of a command, and whether it is dangerous. Nothing of "
        "it is run.",
    )
    async def validate_command(self, command: str, check_safety: bool = True) -> CommandAdvice:
        text("command", command, shortest=1, longest=LONGEST_CHECKED)
        said = await advice.on(command, check_safety=check_safety)
        return CommandAdvice(
            valid=said.valid,
            safe=said.safe,
            warnings=said.warnings,
            suggestions=said.suggestions,
        )
