"""From the columns of rows to what an operation selects of them, a column at a time."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import cache, cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Column as TableColumn
from sqlalchemy import ColumnElement, Dialect, FromClause, Select, bindparam

from db.listing import Sole
from db.statements import Compiled, Fetch, Rows
from graph.leaves import Convert, Leaves, as_stored, typed
from graph.nouns import NOUNS, Column, Computed, Noun, Part, ToMany, ToOne
from graph.selections import NotPlannable, Selected

Values = Sequence[Any]
Build = Callable[["Cells"], Values]
Filling = Generator[Fetch, Rows, "Cells"]


class Cells(msgspec.Struct, frozen=True, gc=False):
    """What a level's statement read, column by column, and what belongs to each row besides."""

    height: int
    columns: Sequence[Values]
    """As they were read; behind them those that were restored, of which the first is the last."""
    related: Sequence[Values]


class Leaf(NamedTuple):
    """A part of an object that is a column, shown as it is read or converted."""

    place: int
    convert: Convert | None = None


NOTHING = Cells(0, (), ())


class Level:
    """One statement: the columns that the shapes over its rows need, and what hangs on them.

    Over a noun's own table the statement is narrowed to those columns, and a to-one relation is
    joined. Over what a relation's statement makes up, columns are found by their names. `is_one`
    says that there is never more than one row; `shows` that the database shows what it can as it
    has to be, which is less work for one row, and more for many.
    """

    def __init__(
        self,
        noun: Noun,
        statement: Select[Any],
        dialect: Dialect,
        leaves: Leaves,
        *,
        is_one: bool = False,
        shows: bool = False,
    ) -> None:
        self.noun = noun
        self.is_one = is_one
        self.leaves = leaves
        self.dialect = dialect
        self._shows = shows
        self._statement = statement
        self._is_own = noun.table is not None and noun.table in statement.columns_clause_froms
        self._names = list(statement.selected_columns.keys())
        self._columns: dict[Any, tuple[int, ColumnElement[Any]]] = {}
        self._from: FromClause | None = noun.table
        self._related: list[_Related] = []
        self._restored: list[tuple[int, Convert]] = []

    @property
    def is_single(self) -> bool:
        """Whether nothing hangs on its rows that takes another statement."""
        return not self._related

    def shape(self, selected: Sequence[Selected]) -> "Shape":
        """The objects that a selection wants of each row."""
        return self._shape_of(self.noun, self.noun.table, selected)

    def column(self, name: str) -> int:
        """The place of one of the statement's own columns, by its name."""
        return self._need(self.noun, self.noun.table, name)[0]

    def restored(self, name: str) -> int:
        """The place of one of the statement's own columns, in Python's own types."""
        return self._typed(self.noun, self.noun.table, name)

    def compiled(self, statement: Select[Any], *more: ColumnElement[Any]) -> Compiled:
        """A statement of this level's kind, with just the columns that were asked for, and more."""
        if not self._is_own:
            return Compiled(statement.add_columns(*more), self.dialect)
        if not self._columns:
            self.column("id")
        columns = [column.label(f"c{place}") for place, column in self._columns.values()]
        assert self._from is not None
        narrowed = statement.with_only_columns(*columns, *more)
        return Compiled(narrowed.select_from(self._from), self.dialect)

    def fill(self, rows: Rows) -> Filling:
        """The cells of some rows, after reading what belongs to them."""
        columns = list(zip(*rows, strict=True))
        related: list[Values] = []
        for relation in self._related:
            found = yield from relation.read(columns)
            related.append(found)
        return self._cells(columns, related)

    def cells(self, rows: Rows) -> Cells:
        """The cells of some rows, if nothing belongs to them."""
        return self._cells(list(zip(*rows, strict=True)), ())

    def made_up(self, shape: "Shape", values: Mapping[str, Any]) -> Any:
        """The object of a row that was not found, from Python's values by the fields' names."""
        columns = [
            (as_stored(values.get(name), column, self.dialect),) for name, column in self._named()
        ]
        return shape.build(self._cells(columns, [(None,)] * len(self._related)))[0]

    def _cells(self, columns: Sequence[Values], related: Sequence[Values]) -> Cells:
        if not columns:
            return NOTHING
        if self._restored:
            restored = [restore(columns[place]) for place, restore in self._restored]
            columns = [*columns, *restored]
        return Cells(len(columns[0]), columns, related)

    def _named(self) -> Iterable[tuple[str, ColumnElement[Any]]]:
        """The columns that are read, by the names of their fields."""
        if not self._is_own:
            return self._statement.selected_columns.items()
        return [(name, column) for (_, name, *_), (_, column) in self._columns.items()]

    def _shape_of(
        self, noun: Noun, table: FromClause | None, selected: Sequence[Selected]
    ) -> "Shape":
        return Shape([(chosen.key, self._part(noun, table, chosen)) for chosen in selected])

    def _part(self, noun: Noun, table: FromClause | None, chosen: Selected) -> Build | Leaf:
        if chosen.name == "__typename":
            name = str(chosen.type)
            return lambda cells: [name] * cells.height
        match noun.fields.get(chosen.name):
            case Column():
                return self._leaf(noun, table, chosen)
            case Computed() as source:
                return self._computed(noun, table, source, chosen)
            case Part() as source:
                return self._shape_of(NOUNS[source.noun], table, chosen.selected).build
            case ToOne() as source:
                return self._to_one(noun, table, source, chosen)
            case ToMany() as source:
                return self._to_many(noun, table, source, chosen)
            case _:
                raise NotPlannable(f"{noun.name}.{chosen.name} is resolved by code")

    def _leaf(self, noun: Noun, table: FromClause | None, chosen: Selected) -> Leaf:
        if self._shows:
            column = _expression(noun, table, chosen.name)
            shown = self.leaves.selected(chosen.type, column)
            if shown is not None:
                key = (table, chosen.name, str(chosen.type))
                return Leaf(self._columns.setdefault(key, (len(self._columns), shown))[0])
        place, column = self._need(noun, table, chosen.name)
        return Leaf(place, self.leaves.stored(chosen.type, column))

    def _computed(
        self, noun: Noun, table: FromClause | None, source: Computed, chosen: Selected
    ) -> Build:
        pick = _picker([self._typed(noun, table, name) for name in source.needs])
        show = self.leaves.shown(chosen.type)
        function = source.function

        def build(cells: Cells) -> Values:
            made = map(function, *pick(cells.columns))
            return list(map(show, made) if show else made)

        return build

    def _typed(self, noun: Noun, table: FromClause | None, name: str) -> int:
        """The place of a column in Python's own types: made once, whoever needs it."""
        place, column = self._need(noun, table, name)
        restore = typed(column, self.dialect)
        if restore is None:
            return place
        restored = [place for place, _ in reversed(self._restored)]
        if place in restored:
            return -1 - restored.index(place)
        # How many columns are read is not known yet: places are counted from the last.
        self._restored.insert(0, (place, restore))
        return -len(self._restored)

    def _to_one(
        self, noun: Noun, table: FromClause | None, source: ToOne, chosen: Selected
    ) -> Build:
        target = NOUNS[source.noun]
        if not self._is_own or not _is_joinable(target, chosen.selected):
            single = ToMany(source.noun, target.by_ids, "id", single=True)
            return self._relate(noun, table, source.by, single, chosen)
        assert self._from is not None
        assert target.table is not None
        other = target.table.alias()
        by = _expression(noun, table, source.by)
        self._from = self._from.outerjoin(other, other.c.id == by)
        objects = self._shape_of(target, other, chosen.selected)
        if isinstance(by, TableColumn) and not by.nullable:
            return objects.build
        found, _ = self._need(target, other, "id")

        def build(cells: Cells) -> Values:
            shown = objects.build(cells)
            keys, place = cells.columns[found], -1
            for _ in range(keys.count(None)):
                place = keys.index(None, place + 1)
                shown[place] = None
            return shown

        return build

    def _to_many(
        self, noun: Noun, table: FromClause | None, source: ToMany, chosen: Selected
    ) -> Build:
        return self._relate(noun, table, "id", source, chosen)

    def _relate(
        self, noun: Noun, table: FromClause | None, by: str, source: ToMany, chosen: Selected
    ) -> Build:
        place, _ = self._need(noun, table, by)
        index = len(self._related)
        self._related.append(_Related(place, source, chosen, self))
        return lambda cells: cells.related[index]

    def _need(
        self, noun: Noun, table: FromClause | None, name: str
    ) -> tuple[int, ColumnElement[Any]]:
        if not self._is_own:
            return self._by_name(noun, name)
        column = _expression(noun, table, name)
        key = (table, name) if isinstance(column, TableColumn) else (table, name, noun.name)
        if key not in self._columns:
            self._columns[key] = (len(self._columns), column)
        return self._columns[key]

    def _by_name(self, noun: Noun, name: str) -> tuple[int, ColumnElement[Any]]:
        source = noun.fields.get(name)
        if name not in self._names and isinstance(source, Column):
            name = getattr(source.expression, "name", name)
        if name not in self._names:
            raise NotPlannable(f"{noun.name}.{name} is not in its relation's statement")
        return self._names.index(name), self._statement.selected_columns[name]


class Shape:
    """Objects with these keys, in this order."""

    def __init__(self, parts: Sequence[tuple[str, Build | Leaf]]) -> None:
        leaves = [part if isinstance(part, Leaf) else Leaf(0) for _, part in parts]
        self._pick = _picker([leaf.place for leaf in leaves])
        self._converted = [
            (index, leaf.convert) for index, leaf in enumerate(leaves) if leaf.convert
        ]
        self._built = [
            (index, part) for index, (_, part) in enumerate(parts) if not isinstance(part, Leaf)
        ]
        self._objects = Objects([key for key, _ in parts])

    @property
    def is_flat(self) -> bool:
        """Whether all of its parts are columns, so that a row shows itself."""
        return not self._built

    def of_row(self, row: Sequence[Any]) -> Any:
        """The object of a row, where it is flat."""
        values = list(self._pick(row))
        for index, convert in self._converted:
            (values[index],) = convert((values[index],))
        return self._objects.one(*values)

    def build(self, cells: Cells) -> list[Any]:
        if not cells.height:
            return []
        values = list(self._pick(cells.columns))
        for index, convert in self._converted:
            values[index] = convert(values[index])
        for index, build in self._built:
            values[index] = build(cells)
        return self._objects.of(values, cells.height)


def _picker(places: Sequence[int]) -> Callable[[Sequence[Values]], Iterable[Values]]:
    """What takes the columns at these places."""
    match places:  # An `itemgetter` of one item makes no tuple of it, and there is none of none.
        case []:
            return lambda _: ()
        case [place]:
            return lambda columns: (columns[place],)
        case _:
            return itemgetter(*places)


class Objects:
    """Makes objects of columns: structs, in about a sixth of the time that dictionaries take."""

    def __init__(self, keys: Sequence[str]) -> None:
        # A key may be a word of Python's, which can't be an attribute.
        names = {f"f{place}": key for place, key in enumerate(keys)}
        fields = [(name, Any) for name in names]
        self.one = msgspec.defstruct("Object", fields, rename=names, gc=False)

    def of(self, columns: Sequence[Values], height: int) -> list[Any]:
        """An object for each row of these columns; there are none where all keys are left out."""
        return list(map(self.one, *columns)) if columns else [self.one()] * height


class _Related:
    """What a relation's own statement finds for the rows of a level."""

    def __init__(self, by: int, source: ToMany, chosen: Selected, level: Level) -> None:
        self._by = by
        self._source = source
        self._is_of_one = level.is_one
        statement = _statement_of(source.statement, level.is_one)
        is_one = level.is_one and source.single
        noun = NOUNS[source.noun]
        self._level = Level(noun, statement, level.dialect, level.leaves, is_one=is_one)
        self._shape = self._level.shape(chosen.selected)
        self._key = self._level.column(source.key)
        self._compiled = self._level.compiled(statement)

    def read(self, columns: Sequence[Values]) -> Generator[Fetch, Rows, Values]:
        """For each row of the level its objects, or its only one."""
        owners = columns[self._by] if columns else ()
        return self._read_of_one(owners) if self._is_of_one else self._read_of_many(owners)

    def _read_of_one(self, owners: Values) -> Generator[Fetch, Rows, Values]:
        shown: list[Any] = []
        for owner in owners:
            found = None
            if owner is not None:
                rows = yield self._compiled.fetch({"ids": owner})
                level = self._level
                cells = level.cells(rows) if level.is_single else (yield from level.fill(rows))
                found = self._shape.build(cells)
            shown.append(self._single(found) if self._source.single else found)
        return shown

    def _read_of_many(self, owners: Values) -> Generator[Fetch, Rows, Values]:
        found: dict[Any, list[Any]] = {owner: [] for owner in owners if owner is not None}
        if found:
            rows = yield self._compiled.fetch({"ids": list(found)})
            cells = yield from self._level.fill(rows)
            keys = cells.columns[self._key] if rows else ()
            for key, one in zip(keys, self._shape.build(cells), strict=True):
                found[key].append(one)
        if not self._source.single:
            return [found[owner] for owner in owners]
        return [self._single(found.get(owner)) for owner in owners]

    def _single(self, found: list[Any] | None) -> Any:
        if found:
            return found[0]
        return None if found is None else self._absent

    @cached_property
    def _absent(self) -> Any:
        absent = self._source.absent
        return None if absent is None else self._level.made_up(self._shape, absent)


@cache
def _statement_of(statement: Callable[[Any], Select[Any]], is_of_one: bool) -> Select[Any]:
    """A relation's own statement: the same for all plans, since each one is larger than a plan."""
    return statement(Sole("ids") if is_of_one else bindparam("ids"))


def _expression(noun: Noun, table: FromClause | None, name: str) -> ColumnElement[Any]:
    assert table is not None
    source = noun.fields.get(name)
    if isinstance(source, Column) and source.expression is not None:
        if table is noun.table:
            return source.expression
        # Only plain columns are asked of a table that is joined under another name.
        return table.c[source.expression.key]  # type: ignore[index]
    return table.c[name]


def _is_joinable(noun: Noun, selected: Sequence[Selected]) -> bool:
    """Whether all that is selected of a noun are columns of its table."""
    return all(_is_plain(noun, chosen) for chosen in selected)


def _is_plain(noun: Noun, chosen: Selected) -> bool:
    if chosen.name == "__typename":
        return True
    match noun.fields.get(chosen.name):
        case Column(expression=TableColumn()):
            return True
        case Computed(needs=needs):
            assert noun.table is not None
            return all(name in noun.table.c for name in needs)
        case Part(noun=part):
            return _is_joinable(NOUNS[part], chosen.selected)
        case ToOne():
            return True
        case _:
            return False
