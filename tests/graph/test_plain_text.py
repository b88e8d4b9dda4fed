"""NUL is refused wherever text comes in: PostgreSQL can't keep it."""

import pytest

from db.errors import InvalidFormat
from graph.plain_text import check_variables
from tests.fixtures.server import Served


def nested(levels: int) -> object:
    """As deep as JSON may come; it can't be written that deep."""
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"id": "a\0"}, "id"),
        ({"input": {"tags": ["fine", "\0"]}}, "tags.1"),
        ({"input": {"metadata": {"a\0": 1}}}, "metadata.a�"),
        ({"id": "a", "metadata": nested(1000)}, "metadata"),
    ],
    ids=["a text", "in a list", "a name", "too deep"],
)
def test_what_can_not_be_kept_is_refused_by_the_path_to_it(
    variables: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidFormat) as caught:
        check_variables(variables)

    assert field == caught.value.details["field"]


async def test_nul_in_an_id_is_invalid_not_an_accident(server: Served) -> None:
    response = await server.graphql("query ($id: ID!) { task(id: $id) { id } }", id="\0")

    assert "VALIDATION_INVALID_FORMAT" == response["errors"][0]["extensions"]["code"]


async def test_nul_in_a_document_is_refused(server: Served) -> None:
    response = await server.graphql(r'{ task(id: "\u0000") { id } }')

    assert "The document must not contain NUL" == response["errors"][0]["message"]
