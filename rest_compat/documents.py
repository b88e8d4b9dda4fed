"""The operations: documents that are checked once, when the server starts."""

from collections.abc import Collection
from pathlib import Path

from graphql import (
    DocumentNode,
    GraphQLSyntaxError,
    LoneAnonymousOperationRule,
    NoUnusedFragmentsRule,
    Source,
    UniqueFragmentNamesRule,
    UniqueOperationNamesRule,
    concat_ast,
    parse,
    print_ast,
    separate_operations,
    validate,
)

from graph.execution import Executor, Prepared, Refused
from rest_compat.routes import OPERATIONS

FOLDER = Path(__file__).parent / "operations"

# What only shows while the documents are together; the schema checks each one by itself.
_TOGETHER = (
    LoneAnonymousOperationRule,
    NoUnusedFragmentsRule,
    UniqueFragmentNamesRule,
    UniqueOperationNamesRule,
)


class Misfit(Exception):
    """The operations do not fit each other, the schema or the table."""


def load(
    executor: Executor, folder: Path = FOLDER, names: Collection[str] = OPERATIONS
) -> dict[str, Prepared]:
    """Every operation of a folder, prepared, by name; they share their fragments.

    Raises `Misfit` when one does not fit the schema, and unless there is exactly one for each of
    `names`.
    """
    documents = separate_operations(_together(executor, folder))
    if missing := sorted(set(names) - documents.keys()):
        raise Misfit(f"No operation is named {', '.join(missing)}")
    if unused := sorted(documents.keys() - set(names)):
        raise Misfit(f"Neither a path nor a message uses {', '.join(unused)}")
    return {name: _prepared(executor, name, document) for name, document in documents.items()}


def _together(executor: Executor, folder: Path) -> DocumentNode:
    files = sorted(folder.glob("*.graphql"))
    try:
        together = concat_ast([parse(Source(file.read_text(), file.name)) for file in files])
    except GraphQLSyntaxError as error:
        raise Misfit(str(error)) from None
    if errors := validate(executor.schema, together, _TOGETHER):
        raise Misfit("\n\n".join(map(str, errors)))
    return together


def _prepared(executor: Executor, name: str, document: DocumentNode) -> Prepared:
    try:
        return executor.prepare(print_ast(document), name)
    except Refused as refused:
        raise Misfit(f"{name} does not fit the schema: {refused}") from None
