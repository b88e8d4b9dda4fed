"""What a document may ask for, found in one pass over it."""

import pytest
from graphql import GraphQLError, build_schema, get_introspection_query, parse

from graph.bounds import DEEPEST, MOST_FIELDS, MOST_NESTED_LISTS, check_bounds

SCHEMA = build_schema("type Query { a: T } type T { a: T, one: T, many: [T!]! }")


def nested(levels: int) -> str:
    return "{ a" + " { a" * (levels - 1) + " }" * levels


def wide(fields: int) -> str:
    return "{" + " ".join(f"f{number}: a" for number in range(fields)) + "}"


def bomb(fragments: int) -> str:
    """Each fragment spreads the next one twice: 2 to the power of them fields, in a few lines."""
    links = [
        f"fragment F{number} on T {{ ...F{number + 1} ...F{number + 1} }}"
        for number in range(fragments)
    ]
    return "\n".join(["{ ...F0 }", *links, f"fragment F{fragments} on T {{ a }}"])


def lists(levels: int) -> str:
    return "many { one { " * levels + "a" + " } }" * levels


WITHIN = {
    "as deep as may be": nested(DEEPEST),
    "as wide as may be": wide(MOST_FIELDS),
    "introspection": get_introspection_query(),
    "all of introspection": get_introspection_query(
        input_value_deprecation=True, specified_by_url=True
    ),
    "as many lists as may be": f"{{ a {{ {lists(MOST_NESTED_LISTS)} }} }}",
    "lists beside each other": f"{{ a {{ {' '.join(f'm{n}: many {{ a }}' for n in range(9))} }} }}",
    # Validation refuses these; here they only have to come to an end.
    "a fragment in itself": "{ ...F } fragment F on T { a ...F }",
    "fragments in a circle": "{ ...F } fragment F on T { ...G } fragment G on T { ...F }",
    "no fragment": "{ ...Unknown }",
}
TOO_DEEP = {
    "fields": nested(DEEPEST + 1),
    "a fragment": f"{{ ...F }} fragment F on T {nested(DEEPEST + 1)}",
    "an inline fragment": f"{{ ... on T {nested(DEEPEST + 1)} }}",
    "the second operation": "query A { a } query B " + nested(DEEPEST + 1),
}
TOO_WIDE = {
    "fields": wide(MOST_FIELDS + 1),
    "a small bomb": bomb(11),
    # Whoever walked this once for each path would be busy for ever.
    "a bomb": bomb(100),
}


TOO_LONG = {
    "fields": f"{{ a {{ {lists(MOST_NESTED_LISTS + 1)} }} }}",
    "a fragment": f"{{ a {{ many {{ ...F }} }} }} fragment F on T {{ {lists(MOST_NESTED_LISTS)} }}",
    "an inline fragment": f"{{ a {{ ... on T {{ ... {{ {lists(MOST_NESTED_LISTS + 1)} }} }} }} }}",
    "introspection": "{ __schema { types { fields { args { type { fields { name } } } } } } }",
}


@pytest.mark.parametrize("name", WITHIN)
def test_a_document_within_the_bounds_is_let_through(name: str) -> None:
    check_bounds(parse(WITHIN[name]), SCHEMA)


@pytest.mark.parametrize("name", TOO_DEEP)
def test_a_document_that_is_too_deep_is_refused(name: str) -> None:
    with pytest.raises(GraphQLError, match="nested deeper than 15 levels"):
        check_bounds(parse(TOO_DEEP[name]), SCHEMA)


@pytest.mark.parametrize("name", TOO_WIDE)
def test_a_document_that_is_too_wide_is_refused(name: str) -> None:
    with pytest.raises(GraphQLError, match="selects more than 2000 fields"):
        check_bounds(parse(TOO_WIDE[name]), SCHEMA)


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_document_whose_lists_multiply_is_refused(name: str) -> None:
    with pytest.raises(GraphQLError, match="nests more than 3 lists"):
        check_bounds(parse(TOO_LONG[name]), SCHEMA)
