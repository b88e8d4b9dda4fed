"""What a GraphQL type is made of, declared once: columns, to-one, to-many and computed fields.

Resolvers, dataloaders and compiled plans all derive from these declarations, so that they cannot
disagree.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard, TypeVar

import strawberry
from sqlalchemy import Column as TableColumn
from sqlalchemy import ColumnElement, FromClause, Label, Select, select
from strawberry.types.field import StrawberryField

from db.listing import one_of

T = TypeVar("T")

SOURCE = "source"


@dataclass(frozen=True)
class Column:
    """A field that is an SQL expression over the noun's table.

    Without an expression it is what the relation's statement calls by the field's name.
    """

    expression: ColumnElement[Any] | None


@dataclass(frozen=True)
class ToOne:
    """A field that is the row of another noun, whose id one of our columns holds.

    Who sees a row sees what it refers to.
    """

    noun: str
    by: str


@dataclass(frozen=True)
class ToMany:
    """A field that is rows of another noun, found by our id.

    `statement(ids)` selects them for many of us at once, in order; its column `key` says whose
    they are. A `single` one is one row: where there is none, `absent`, else null.
    """

    noun: str
    statement: Callable[[Any], Select[Any]]
    key: str
    single: bool = False
    absent: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Part:
    """A field that groups columns of the same row under a name."""

    noun: str


@dataclass(frozen=True)
class Computed:
    """A field that is a function of columns of the same row."""

    needs: tuple[str, ...]
    function: Callable[..., Any]


Source = Column | ToOne | ToMany | Part | Computed


@dataclass
class Noun:
    """A GraphQL type over a table, or over what a relation's statement selects."""

    name: str
    table: FromClause | None
    fields: dict[str, Source] = field(default_factory=dict)

    def select(self) -> Select[Any]:
        """Every column of the table, and every declared one under its field's name."""
        assert self.table is not None
        declared = self._declared()
        plain = (column for column in self.table.c if column.key not in declared)
        return select(*plain, *declared.values())

    def by_ids(self, ids: Any) -> Select[Any]:
        assert self.table is not None
        return self.select().where(one_of(self.table.c.id, ids))

    def _declared(self) -> dict[str, Label[Any]]:
        """What the table does not have under that name; a part's fields are columns of our row."""
        declared: dict[str, Label[Any]] = {}
        for name, source in self.fields.items():
            if isinstance(source, Part):
                declared |= NOUNS[source.noun]._declared()
            elif isinstance(source, Column) and _is_made(source.expression, name):
                declared[name] = source.expression.label(name)
        return declared


NOUNS: dict[str, Noun] = {}


def noun(table: FromClause | None) -> Callable[[type[T]], type[T]]:
    """Declare a class to be the GraphQL type over a table; its docstring is the description."""

    def declare(cls: type[T]) -> type[T]:
        described = strawberry.type(cls, description=_unwrapped(cls.__doc__))
        found = Noun(cls.__name__, table)
        for strawberry_field in described.__strawberry_definition__.fields:  # type: ignore[attr-defined]
            if source := strawberry_field.metadata.get(SOURCE):
                found.fields[strawberry_field.python_name] = source
        NOUNS[cls.__name__] = found
        return described

    return declare


def column(expression: ColumnElement[Any] | None, description: str) -> Any:
    """A field that is a column, or any SQL expression over the noun's table."""
    return strawberry.field(description=description, metadata={SOURCE: Column(expression)})


def to_one(noun_name: str, by: str, description: str) -> Any:
    """A field that is the row whose id our column `by` holds."""
    source = ToOne(noun_name, by)

    async def resolve(root: strawberry.Parent[Any], info: strawberry.Info) -> Any:
        key = getattr(root, source.by)
        return None if key is None else await info.context.loaders.one(source.noun).load(key)

    return _resolved(resolve, source, description)


def to_many(
    noun_name: str, statement: Callable[[Any], Select[Any]], key: str, description: str
) -> Any:
    """A field that is every row which `statement([our id])` selects."""
    return _related(ToMany(noun_name, statement, key), description)


def single(
    noun_name: str,
    statement: Callable[[Any], Select[Any]],
    key: str,
    description: str,
    absent: Mapping[str, Any] | None = None,
) -> Any:
    """A field that is the one row of `statement([our id])`, or `absent` when there is none."""
    return _related(ToMany(noun_name, statement, key, True, absent), description)


def part(noun_name: str, description: str) -> Any:
    """A field that groups columns of the same row."""

    def resolve(root: strawberry.Parent[Any]) -> Any:
        return root

    return _resolved(resolve, Part(noun_name), description)


def computed(function: Callable[..., Any], needs: Sequence[str], description: str) -> Any:
    """A field that is `function` of the row's columns that it needs, in that order."""
    source = Computed(tuple(needs), function)

    def resolve(root: strawberry.Parent[Any]) -> Any:
        return source.function(*(getattr(root, name) for name in source.needs))

    return _resolved(resolve, source, description)


def _related(source: ToMany, description: str) -> Any:
    def resolve(root: strawberry.Parent[Any], info: strawberry.Info) -> Awaitable[Any]:
        loaded: Awaitable[Any] = info.context.loaders.many(source).load(root.id)
        return loaded

    return _resolved(resolve, source, description)


def _resolved(resolve: Callable[..., Any], source: Any, description: str) -> StrawberryField:
    found: StrawberryField = strawberry.field(
        resolver=resolve, description=description, metadata={SOURCE: source}
    )
    return found


def _is_made(expression: ColumnElement[Any] | None, name: str) -> TypeGuard[ColumnElement[Any]]:
    """Whether it is anything but the column of that name."""
    if expression is None:
        return False
    return not isinstance(expression, TableColumn) or expression.name != name


def _unwrapped(text: str | None) -> str | None:
    return " ".join(text.split()) if text else None
