"""The operations fit the schema and the table; what would not is found by name."""

from pathlib import Path

import pytest

from graph.schema import rest_executor
from rest_compat import documents, routes
from rest_compat.documents import Misfit
from tests.rest_compat.small import small_executor

FRAGMENT = "fragment Whole on Thing { id title }"
GET = "query GetThing($thing_id: ID!) { data: thing(thing_id: $thing_id) { ...Whole } }"


def test_every_operation_fits_the_schema() -> None:
    checked = documents.check(rest_executor())

    assert routes.OPERATIONS == set(checked)


def test_operations_share_fragments_across_files(tmp_path: Path) -> None:
    (tmp_path / "fragments.graphql").write_text(FRAGMENT)
    (tmp_path / "things.graphql").write_text(GET + "query GetTotal { total }")

    loaded = documents.load(small_executor(), tmp_path, {"GetThing", "GetTotal"})

    assert ["GetThing", "GetTotal"] == sorted(loaded)
    assert "ID!" == str(loaded["GetThing"].variables["thing_id"].type)
    assert 1 == len(loaded["GetTotal"].document.definitions)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("query A { nothing }", "A does not fit the schema: Cannot query field 'nothing'"),
        ("query A { total", "Syntax Error"),
        ("query A { total } " + FRAGMENT, "Fragment 'Whole' is never used"),
        ("query A { thing(thing_id: 1) { ...Whole } }", "Unknown fragment 'Whole'"),
        ("query A { total } query A { total }", "There can be only one operation named 'A'"),
        ("query A { total } { total }", "This anonymous operation must be the only defined"),
        ("query B { total }", "No operation is named A"),
        ("query A { total } query B { total }", "Neither a path nor a message uses B"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "wrong.graphql").write_text(text)

    with pytest.raises(Misfit, match=words):
        documents.check(small_executor(), tmp_path, {"A"})


def test_a_table_row_is_one_method_on_one_path() -> None:
    rows = [(row.method, row.path) for row in routes.TABLE]

    assert sorted(set(rows)) == sorted(rows)
