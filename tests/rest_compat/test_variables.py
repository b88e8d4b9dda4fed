"""Words become variables, or the field that is wrong is named."""

from typing import Any

import pytest
from graphql import GraphQLScalarType, parse_type, type_from_ast

from graph.execution import Variable
from rest_compat.envelope import Refusal
from rest_compat.variables import collect
from tests.rest_compat.small import small_executor

SCHEMA = small_executor().schema


def declared(**types: str) -> dict[str, Variable]:
    """Variables by name; `= …` behind a type gives one a default."""
    return {
        name: Variable(
            type_from_ast(SCHEMA, parse_type(text.partition(" = ")[0])),  # type: ignore[arg-type]
            " = " in text,
        )
        for name, text in types.items()
    }


def from_query(type_: str, *texts: str) -> Any:
    return collect(declared(word=type_), {}, {"word": list(texts)}, {})["word"]


def from_body(type_: str, value: Any) -> Any:
    return collect(declared(word=type_), {}, {}, {"word": value})["word"]


def test_a_word_comes_from_the_path_then_the_query_then_the_body() -> None:
    found = collect(
        declared(a="ID", b="ID", c="ID"),
        {"a": "path"},
        {"a": ["query"], "b": ["query"]},
        {"a": "body", "b": "body", "c": "body"},
    )

    assert {"a": "path", "b": "query", "c": "body"} == found


def test_input_is_the_whole_body() -> None:
    body = {"title": "a", "limits": {"most": 1}, "extra": {"camelCase": [None, 1.5]}}
    found = collect(declared(id="ID!", input="ThingInput!"), {"id": "1"}, {}, body)

    assert {"id": "1", "input": body} == found


def test_absent_words_do_not_become_variables_and_null_does() -> None:
    found = collect(declared(a="ID", b="ID", c="Int! = 1"), {}, {}, {"b": None})

    assert {"b": None} == found


def test_absent_and_null_fields_stay_apart_in_the_body() -> None:
    found = collect(declared(input="ThingInput!"), {}, {}, {"title": "a", "color": None})

    assert {"title": "a", "color": None} == found["input"]


def test_words_that_nobody_declared_are_ignored() -> None:
    found = collect(
        declared(input="ThingInput!"), {}, {"x": ["1"]}, {"title": "a", "y": 2, "limits": {"z": 3}}
    )

    assert {"input": {"title": "a", "limits": {}}} == found


@pytest.mark.parametrize(
    ("type_", "texts", "value"),
    [
        ("Int", ["12"], 12),
        ("Int!", ["-1"], -1),
        ("Int", ["1", "2"], 2),
        ("Float", ["1.5e2"], 150.0),
        ("Boolean", ["True"], True),
        ("Boolean!", ["false"], False),
        ("String", ["12"], "12"),
        ("Color", ["red"], "red"),
        ("[Color!]", ["red,green"], ["red", "green"]),
        ("[Color!]!", ["red", "green"], ["red", "green"]),
        ("[Int]", ["1, 2,", "3"], [1, 2, 3]),
    ],
)
def test_text_of_the_query_is_read_by_its_type(type_: str, texts: list[str], value: Any) -> None:
    found = from_query(type_, *texts)

    assert value == found


@pytest.mark.parametrize(
    ("type_", "text", "issue"),
    [
        ("Int", "x", "Must be a whole number of at most 32 bits"),
        ("Int", "1.0", "Must be a whole number of at most 32 bits"),
        ("Int", "9999999999", "Must be a whole number of at most 32 bits"),
        ("Int", "9" * 5000, "Must be a whole number of at most 32 bits"),
        ("Int", "٣", "Must be a whole number of at most 32 bits"),
        ("Float", "nan", "Must be a number"),
        ("Float", "1e999", "Must be a number"),
        ("Boolean", "1", "Must be true or false"),
        ("String", "a\0", "Must be text without NUL"),
        ("Color", "blue", "Must be one of: red, green"),
        ("[Color]", "red,blue", "Must be one of: red, green"),
        ("LimitsInput", "x", "Must be an object"),
    ],
)
def test_text_that_does_not_fit_is_refused(type_: str, text: str, issue: str) -> None:
    with pytest.raises(Refusal) as refusal:
        from_query(type_, text)

    assert "VALIDATION_INVALID_FORMAT" == refusal.value.code
    assert {"field": "word", "issue": issue} == refusal.value.details


@pytest.mark.parametrize(
    ("value", "field", "issue"),
    [
        ({"title": 1}, "title", "Must be text"),
        ({"title": "a", "color": "blue"}, "color", "Must be one of: red, green"),
        ({"title": "a", "color": []}, "color", "Must be one of: red, green"),
        ({"title": "a", "weight": "1"}, "weight", "Must be a number"),
        ({"title": "a", "is_heavy": 1}, "is_heavy", "Must be true or false"),
        ({"title": "a", "limits": "x"}, "limits", "Must be an object"),
        ({"title": "a", "limits": {"most": "1"}}, "limits.most", "Must be a whole number of at"),
        ({"title": "a", "limits": {"names": "x"}}, "limits.names", "Must be a list"),
        ({"title": "a", "limits": {"names": ["x", 1]}}, "limits.names.1", "Must be text"),
        ({"title": "a", "parts": [{}, {"most": []}]}, "parts.1.most", "Must be a whole number of"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_the_dotted_name(
    value: dict[str, Any], field: str, issue: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        collect(declared(input="ThingInput!"), {}, {}, value)

    assert "VALIDATION_INVALID_FORMAT" == refusal.value.code
    assert field == refusal.value.details["field"]
    assert refusal.value.details["issue"].startswith(issue)


@pytest.mark.parametrize(
    ("types", "body", "field"),
    [
        ({"input": "ThingInput!"}, {}, "title"),
        ({"input": "ThingInput!"}, {"title": None}, "title"),
        ({"word": "[ID!]!"}, {}, "word"),
        ({"word": "[ID!]!"}, {"word": None}, "word"),
        ({"word": "[ID!]!"}, {"word": ["1", None]}, "word.1"),
        ({"word": "Int! = 1"}, {"word": None}, "word"),
    ],
)
def test_a_missing_word_is_named(types: dict[str, str], body: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refusal:
        collect(declared(**types), {}, {}, body)

    assert "VALIDATION_REQUIRED_FIELD" == refusal.value.code
    assert {"field": field, "issue": "Field is required"} == refusal.value.details


@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError])
def test_a_scalar_says_in_its_own_words_what_is_wrong(error: type[Exception]) -> None:
    def parse(value: Any) -> Any:
        raise error("A day is written YYYY-MM-DD")

    day = Variable(GraphQLScalarType("Day", parse_value=parse), False)

    with pytest.raises(Refusal) as refusal:
        collect({"day": day}, {}, {}, {"day": "x"})

    assert {"field": "day", "issue": "A day is written YYYY-MM-DD"} == refusal.value.details


def test_values_stay_as_they_came_for_the_schema_to_read_them() -> None:
    found = from_body("ThingInput", {"title": "a", "color": "red", "weight": 1})

    assert {"title": "a", "color": "red", "weight": 1} == found
