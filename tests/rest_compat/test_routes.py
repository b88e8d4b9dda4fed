"""The table finds its rows."""

import pytest

from rest_compat.routes import Routes, Row

ROUTES = Routes(
    [
        Row("GET", "/api/things/", "ListThings"),
        Row("POST", "/api/things/", "MakeThing", 201),
        Row("POST", "/api/things/bulk", "ChangeThings"),
        Row("GET", "/api/things/{thing_id}", "GetThing"),
        Row("GET", "/api/things/{thing_id}/parts/{part_id}", "GetPart"),
    ]
)


@pytest.mark.parametrize("path", ["/api/things", "/api/things/"])
def test_a_path_is_found_with_and_without_its_slash(path: str) -> None:
    rows, values = ROUTES.find(path)

    assert {"GET", "POST"} == rows.keys()
    assert {} == values


def test_parameters_are_found_by_name() -> None:
    rows, values = ROUTES.find("/api/things/1/parts/2")

    assert "GetPart" == rows["GET"].operation
    assert {"thing_id": "1", "part_id": "2"} == values


def test_a_literal_segment_goes_before_a_parameter() -> None:
    rows, values = ROUTES.find("/api/things/bulk")

    assert {"POST": "ChangeThings"} == {method: row.operation for method, row in rows.items()}
    assert {} == values


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/thing/", "/api//things", "/api/things//", "/api/things/1/parts"]
)
def test_nothing_is_found_where_nothing_is(path: str) -> None:
    rows, _ = ROUTES.find(path)

    assert {} == rows
