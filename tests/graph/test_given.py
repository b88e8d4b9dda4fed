"""The variables of a planned operation."""

from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse

from graph.given import Misgiven, Variables

SCHEMA = build_schema("""
  enum Colour { RED BLUE }
  type Query { paint(colours: [Colour!], name: String, times: Int!): Int }
""")
DOCUMENT = parse("""
  query ($colours: [Colour!], $name: String, $times: Int! = 2) {
    paint(colours: $colours, name: $name, times: $times)
  }
""")


def variables() -> Variables:
    (operation,) = DOCUMENT.definitions
    assert isinstance(operation, OperationDefinitionNode)
    return Variables(SCHEMA, operation)


def test_null_is_a_value_of_what_may_be_null() -> None:
    assert {"colours": None, "name": None, "times": 2} == variables().of(
        {"colours": None, "name": None}
    )


def test_what_is_not_given_is_absent_or_its_default() -> None:
    assert {"times": 2} == variables().of({})


@pytest.mark.parametrize(
    "given",
    [{"times": None}, {"times": "often"}, {"colours": ["GREEN"]}, {"colours": [None]}, {"name": 1}],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(Misgiven):
        variables().of(given)
