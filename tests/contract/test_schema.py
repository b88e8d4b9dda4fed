"""The schema that clients rely on is a file, so that every change of it is seen."""

from pathlib import Path

from graph.schema import sdl

SCHEMA = Path(__file__).parents[2] / "schema.graphql"


def test_the_schema_is_the_one_that_is_written_down() -> None:
    written = SCHEMA.read_text()

    assert sdl() == written, "`make schema` writes it anew"
