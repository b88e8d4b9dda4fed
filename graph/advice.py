"""Advice on a command before it is run: whether a shell can read it, and what it might destroy.

It is for people who are about to make a mistake. It is no sandbox: whoever wants to get around it
can, and a command without warnings may still do harm.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from graph import rules, shell, starters
from graph.hazards import Hazard

MOST_SCRIPTS = 20


@dataclass(frozen=True)
class Advice:
    """What is to be said of a command."""

    valid: bool
    """A shell can read it and, as far as that was checked, it ruins nothing."""
    safe: bool | None
    """There are no warnings; None when it was not checked."""
    warnings: list[str]
    suggestions: list[str]


async def on(command: str, *, check_safety: bool = True) -> Advice:
    """What is to be said of a command, and of everything that it hands to another shell."""
    try:
        script = await shell.read(command)
        found = await _hazards_of(script) if check_safety else []
    except shell.Unreadable as unreadable:
        issue = f"The shell cannot read this: {unreadable}"
        return Advice(False, False if check_safety else None, [issue], [])
    return Advice(
        valid=not any(hazard.is_ruinous for hazard in found),
        safe=not found if check_safety else None,
        warnings=_each_once(words for hazard in found for words in hazard.warnings),
        suggestions=_each_once(words for hazard in found for words in hazard.suggestions),
    )


async def _hazards_of(script: shell.Script) -> list[Hazard]:
    """The dangers of a script and of those within it. Raises `Unreadable` for too many."""
    found: list[Hazard] = []
    scripts, count = [script], 1
    while scripts:
        script = scripts.pop(0)
        found += rules.of_script(script)
        for outer in script.commands:
            for command in starters.started(outer):
                found += rules.of_command(command)
                for text in filter(None, starters.scripts(command)):
                    count += 1
                    if count > MOST_SCRIPTS:
                        raise shell.Unreadable("It starts too many shells")
                    scripts.append(await shell.read(text))
    return found


def _each_once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
