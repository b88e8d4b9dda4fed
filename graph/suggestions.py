"""Commands worth suggesting: what the caller has run before, and a curated catalogue."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parent / "catalogue.toml"
OWN = "history"
"""The category of commands whose program is in no other."""


@dataclass(frozen=True)
class Suggestion:
    """A command that may be meant, and why."""

    command: str
    description: str
    category: str
    times: int = 0
    """How often the caller has run it."""


def suggested(
    habits: Iterable[Any], *, context: str = "", prefix: str = "", limit: int
) -> list[Suggestion]:
    """The best suggestions first: those that begin with the prefix before those that contain it,
    those of the context before others, and among them what the caller runs most.

    `habits` have `command` and `times`, the most used first. What neither begins with the prefix
    nor contains it is left out; without a prefix, what is not of the context.
    """
    prefix, context = prefix.lstrip().casefold(), context.strip().casefold()

    def rank(suggestion: Suggestion) -> tuple[bool, bool, int]:
        begins = suggestion.command.casefold().startswith(prefix)
        return not begins, not _is_of(context, suggestion), -suggestion.times

    found = [
        suggestion
        for suggestion in _known(habits)
        if prefix.strip() in suggestion.command.casefold()
        and (prefix or not context or _is_of(context, suggestion))
    ]
    return sorted(found, key=rank)[:limit]


def _known(habits: Iterable[Any]) -> Iterator[Suggestion]:
    """What the caller runs, and then the rest of the catalogue in its order."""
    catalogue = dict(_catalogue())
    for habit in habits:
        if listed := catalogue.pop(habit.command, None):
            yield replace(listed, times=habit.times)
        else:
            yield Suggestion(
                habit.command, _experience(habit.times), _category(habit.command), habit.times
            )
    yield from catalogue.values()


def _experience(times: int) -> str:
    return f"Run by you {times} times" if times > 1 else "Run by you once"


def _category(command: str) -> str:
    return _categories().get(_program(command), OWN)


def _is_of(context: str, suggestion: Suggestion) -> bool:
    return context in (suggestion.category, _program(suggestion.command).casefold())


def _program(command: str) -> str:
    return command.split(maxsplit=1)[0]


@cache
def _catalogue() -> Mapping[str, Suggestion]:
    tables = tomllib.loads(CATALOGUE.read_text())
    return {
        command: Suggestion(command, description, category)
        for category, commands in tables.items()
        for command, description in commands.items()
    }


@cache
def _categories() -> Mapping[str, str]:
    """The category of each program in the catalogue."""
    return {_program(one.command): one.category for one in _catalogue().values()}
