"""The operations: documents that are read when the server starts, and prepared when first used."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
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


class Operations(Mapping[str, Prepared]):
    """Operations by name; each is prepared when it is first asked for, and then for ever."""

    def __init__(self, executor: Executor, documents: Mapping[str, DocumentNode]) -> None:
        self._executor = executor
        self._documents = documents
        self._prepared: dict[str, Prepared] = {}

    def __getitem__(self, name: str) -> Prepared:
        """Raises `Misfit` when it does not fit the schema."""
        if name not in self._prepared:
            self._prepared[name] = _prepared(self._executor, name, self._documents[name])
        return self._prepared[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)


def load(
    executor: Executor, folder: Path = FOLDER, names: Collection[str] = OPERATIONS
) -> Operations:
    """Every operation of a folder, by name; they share their fragments.

    Raises `Misfit` unless there is exactly one for each of `names`.
    """
    documents = _separated(folder)
    if missing := sorted(set(names) - documents.keys()):
        raise Misfit(f"No operation is named {', '.join(missing)}")
    if unused := sorted(documents.keys() - set(names)):
        raise Misfit(f"Neither a path nor a message uses {', '.join(unused)}")
    return Operations(executor, documents)


def check(
    executor: Executor, folder: Path = FOLDER, names: Collection[str] = OPERATIONS
) -> Operations:
    """The same, all prepared: half a second, which is for tests to spend and not for each start.

    Raises `Misfit` also when operations do not fit each other or the schema.
    """
    if errors := validate(executor.schema, _together(folder), _TOGETHER):
        raise Misfit("\n\n".join(map(str, errors)))
    operations = load(executor, folder, names)
    for name in operations:
        operations[name]
    return operations


@cache
def _separated(folder: Path) -> dict[str, DocumentNode]:
    return separate_operations(_together(folder))


@cache
def _together(folder: Path) -> DocumentNode:
    files = sorted(folder.glob("*.graphql"))
    try:
        return concat_ast([parse(Source(file.read_text(), file.name)) for file in files])
    except GraphQLSyntaxError as error:
        raise Misfit(str(error)) from None


def _prepared(executor: Executor, name: str, document: DocumentNode) -> Prepared:
    try:
        return executor.prepare(print_ast(document), name)
    except Refused as refused:
        raise Misfit(f"{name} does not fit the schema: {refused}") from None
