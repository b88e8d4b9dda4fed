"""Commands that are suggested, and in which order."""

import tomllib
from dataclasses import dataclass
from typing import Any

import pytest

from graph import advice
from graph.suggestions import CATALOGUE, Suggestion, suggested


@dataclass(frozen=True)
class Habit:
    command: str
    times: int


def commands(*habits: Habit, limit: int = 3, **words: str) -> list[str]:
    return [found.command for found in suggested(habits, limit=limit, **words)]


def test_the_documented_example_is_answered_as_documented() -> None:
    found = suggested([], context="git", prefix="git ", limit=3)

    assert [
        Suggestion("git status", "Show the working tree status", "git"),
        Suggestion("git add .", "Add all files to staging area", "git"),
        Suggestion("git commit -m", "Commit staged changes with message", "git"),
    ] == found


def test_what_the_caller_runs_most_comes_first() -> None:
    habits = Habit("git fetch upstream", 5), Habit("git diff", 2), Habit("git gc", 1)

    assert ["git fetch upstream", "git diff", "git gc", "git status"] == commands(
        *habits, prefix="git ", limit=4
    )


def test_a_habit_says_how_often_it_was_run_unless_the_catalogue_knows_it() -> None:
    habits = Habit("git gc", 2), Habit("frobnicate", 1), Habit("git diff", 1)

    assert [
        Suggestion("git gc", "Run by you 2 times", "git", 2),
        Suggestion("frobnicate", "Run by you once", "history", 1),
        Suggestion("git diff", "Show changes that are not staged", "git", 1),
    ] == suggested(habits, limit=3)


def test_what_begins_with_the_prefix_comes_before_what_contains_it() -> None:
    assert ["pytest", "pytest -x -q"] == commands(prefix="pytest")
    assert ["test.sh", "pytest"] == commands(Habit("test.sh", 1), prefix="test", limit=2)
    assert "git commit -m" == commands(prefix="Commit")[0]


def test_what_is_of_the_context_comes_first() -> None:
    habits = (Habit("make test", 9),)

    assert "npm test" == commands(*habits, context="node", prefix="test")[0]
    assert "make test" == commands(*habits, prefix="test")[0]


def test_without_a_prefix_the_context_decides() -> None:
    found = suggested([Habit("cargo doc", 1), Habit("ls", 1)], context="rust", limit=50)

    assert "cargo doc" == found[0].command
    assert {"rust"} == {each.category for each in found}


def test_a_program_is_a_context_too() -> None:
    assert ["pip install -r requirements.txt", "pip list --outdated"] == commands(context="pip")


@pytest.mark.parametrize("words", [{"prefix": "no such thing"}, {"context": "no such thing"}])
def test_nothing_is_suggested_where_nothing_fits(words: dict[str, Any]) -> None:
    assert [] == commands(**words)


async def test_nothing_dangerous_is_in_the_catalogue() -> None:
    listed = [each for table in tomllib.loads(CATALOGUE.read_text()).values() for each in table]

    assert [] == [each for each in listed if not (await advice.on(each)).safe]
