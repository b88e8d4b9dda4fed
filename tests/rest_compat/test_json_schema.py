"""From a small GraphQL schema to JSON Schema."""

from typing import Any, cast

import pytest
from graphql import GraphQLInputType, build_schema, parse, type_from_ast, validate

from graph.execution import Prepared, Variable
from rest_compat.json_schema import Schema, example_of, of_answer, of_request, without_null

SCHEMA = build_schema("""
scalar JSON
scalar Duration
enum Color { red green }

input Limits { most: Int, names: [String!] }
input Filter {
  "One of these."
  colors: [Color!]
}
input Order {
  "What it is called."
  title: String!
  weight: Float! = 2.5
  limits: Limits
  extra: JSON
}

interface Named { name: String! }
type Cat implements Named { name: String!, lives: Int! }
type Dog implements Named { name: String!, color: Color }
union Animal = Cat | Dog

type Query {
  "Some animals."
  animals(filter: Filter, page: Int! = 1, sort: Color): [Animal!]
  cat("Which one." id: ID!): Cat
  took: Duration
}
type Mutation { buy(input: Order!, times: Int!): Cat }
""")


def request_of(text: str) -> Schema:
    return of_request(SCHEMA, prepared(text))


def answer_of(text: str) -> Schema:
    return of_answer(SCHEMA, prepared(text))


def prepared(text: str) -> Prepared:
    document = parse(text)
    assert [] == validate(SCHEMA, document)
    operation: Any = document.definitions[0]
    variables = {
        one.variable.name.value: Variable(
            cast(GraphQLInputType, type_from_ast(SCHEMA, one.type)), one.default_value is not None
        )
        for one in operation.variable_definitions or ()
    }
    return Prepared(None, operation.operation, operation, document, variables, lambda _: None)


def bare(schema: Any) -> Any:
    """The schema without its descriptions and examples."""
    if isinstance(schema, list):
        return [bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: bare(inner)
        for name, inner in schema.items()
        if not (name in ("description", "examples") and not isinstance(inner, dict))
    }


def test_variables_are_described_where_they_are_used() -> None:
    request = request_of("""
        query Q($colors: [Color!], $id: ID!) {
          animals(filter: {colors: $colors}) { __typename }
          cat(id: $id) { name }
        }
    """)

    assert "One of these." == request["properties"]["colors"]["description"]
    assert "Which one." == request["properties"]["id"]["description"]
    assert ["id"] == request["required"]


def test_a_variable_with_a_default_is_not_required() -> None:
    request = request_of("query Q($page: Int! = 3) { animals(page: $page) { __typename } }")

    assert 3 == request["properties"]["page"]["default"]
    assert [] == request["required"]


def test_the_variable_input_is_taken_apart() -> None:
    request = request_of(
        "mutation M($input: Order!, $times: Int!) { buy(input: $input, times: $times) { name } }"
    )

    assert ["title", "weight", "limits", "extra", "times"] == list(request["properties"])
    assert ["title", "times"] == request["required"]
    assert "What it is called." == request["properties"]["title"]["description"]


def test_input_objects_and_lists_are_described_inside() -> None:
    request = request_of("mutation M($input: Order!) { buy(input: $input, times: 1) { name } }")

    names = {"type": ["array", "null"], "items": {"type": "string"}}
    limits = bare(request["properties"]["limits"])
    assert ["object", "null"] == limits["type"]
    assert names == limits["properties"]["names"]


def test_a_root_field_named_data_is_the_answer() -> None:
    answer = answer_of('{ data: cat(id: "1") { called: name lives } }')

    assert {"called", "lives"} == answer["properties"].keys()
    assert ["called", "lives"] == answer["required"]
    assert "object" == answer["type"]


def test_without_data_all_root_fields_are_the_answer() -> None:
    answer = answer_of('{ took cat(id: "1") { name } }')

    assert ["took", "cat"] == answer["required"]
    assert ["object", "null"] == answer["properties"]["cat"]["type"]


def test_fragments_and_repeated_fields_are_merged() -> None:
    answer = answer_of("""
        query Q { data: cat(id: "1") { ...Name ... on Named { name } lives } }
        fragment Name on Cat { name }
    """)

    assert ["name", "lives"] == answer["required"]


def test_what_a_directive_may_leave_out_is_not_required() -> None:
    answer = answer_of("""
        query Q($all: Boolean!) { data: cat(id: "1") { name lives @include(if: $all) } }
    """)

    assert ["name"] == answer["required"]
    assert {"name", "lives"} == answer["properties"].keys()


def test_each_member_of_a_union_has_its_own_shape() -> None:
    answer = answer_of("""
        { data: animals { __typename ... on Named { name } ... on Dog { color } } }
    """)

    cat, dog = bare(answer["items"])["anyOf"]
    assert ["Cat"] == cat["properties"]["__typename"]["enum"]
    assert ["__typename", "name"] == cat["required"]
    assert ["__typename", "name", "color"] == dog["required"]
    assert {"type": ["string", "null"], "enum": ["red", "green", None]} == (
        dog["properties"]["color"]
    )


def test_null_can_be_taken_back() -> None:
    schema = {"type": ["string", "null"], "enum": ["red", None]}

    assert {"type": "string", "enum": ["red"]} == without_null(schema)


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "integer", "examples": [7]}, 7),
        ({"type": "array", "items": {"examples": ["a"]}}, ["a"]),
        ({"type": "object", "properties": {"n": {"examples": [1]}}}, {"n": 1}),
        ({"anyOf": [{"examples": [1]}, {"type": "null"}]}, 1),
        ({"type": "null"}, None),
    ],
)
def test_an_example_is_put_together(schema: Schema, example: Any) -> None:
    assert example == example_of(schema)
