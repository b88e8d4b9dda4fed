"""Shapes find what does not fit them: else the contract would hold nothing."""

from typing import Any

import pytest

from tests.contract.shapes import (
    COUNT,
    DURATION,
    ID,
    NUMBER,
    RATE,
    TEXT,
    TIME,
    WORDS,
    Nullable,
    Shape,
    Some,
    keys_of,
    misfits,
    word,
)


@pytest.mark.parametrize(
    ("shape", "right", "wrong"),
    [
        (TEXT, "", 1),
        (WORDS, "x", " "),
        (ID, "01981d6e-6c00-7000-8000-000000000001", "1"),
        (TIME, "2025-07-30T12:00:00Z", "2025-07-30 12:00:00"),
        (DURATION, "100:00:59", "1:00:00"),
        (COUNT, 0, -1),
        (COUNT, 1, True),
        (NUMBER, 1.5, "1.5"),
        (RATE, 0.5, 1.5),
        (word("a", "b"), "b", "c"),
        (Nullable(TEXT), None, 1),
        ([TEXT], [], [1]),
        (Some(TEXT), ["x"], []),
        ({"a": {"b": TEXT}}, {"a": {"b": "", "c": 1}, "d": 1}, {"a": {}}),
        ({"a": Nullable(TEXT)}, {"a": None}, {}),
    ],
)
def test_a_shape_tells_right_from_wrong(shape: Shape, right: Any, wrong: Any) -> None:
    assert [] == misfits(shape, right)
    assert [] != misfits(shape, wrong)


def test_a_misfit_is_told_with_its_place() -> None:
    (told,) = misfits({"items": [{"id": TEXT}]}, {"items": [{"id": "x"}, {"id": 1}]})

    assert told.startswith("items.1.id: ")


def test_keys_are_told_with_those_around_them() -> None:
    shape = {"items": Some({"id": TEXT, "task": Nullable({"title": TEXT})}), "total": COUNT}

    assert ["items", "items[].id", "items[].task", "items[].task.title", "total"] == (
        list(keys_of(shape))
    )
