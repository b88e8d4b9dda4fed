"""Which documents are prepared, and for how long that is remembered."""

import pytest

from graph.execution import Executor, Refused
from graph.schema import graphql_schema


def test_documents_are_remembered_up_to_so_many_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Executor(graphql_schema())
    documents = [f"{{ tasks(first: {number}) {{ nodes {{ id }} }} }}" for number in (1, 2, 3)]
    monkeypatch.setattr("graph.execution.MOST_CHARACTERS", 2 * len(documents[0]))
    first, second, third = [executor.prepare(document) for document in documents]

    assert third is executor.prepare(documents[2])
    assert second is executor.prepare(documents[1])
    assert first is not executor.prepare(documents[0])


def test_a_document_that_is_made_to_be_slow_is_refused() -> None:
    """Whether fields can be merged is found by comparing each with each."""
    with pytest.raises(Refused, match="too many fields of the same name"):
        Executor(graphql_schema()).prepare("{" + "tasks { nodes { id title } }" * 200 + "}")
