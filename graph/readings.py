"""How plans read a root field: one row, a connection, or a numbered page."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Integer, bindparam, literal_column

from db.actors import Actor
from db.listing import Order, Place
from db.statements import Compiled, Fetch, Reading, Rows
from db.types import Role
from graph.leaves import Leaves
from graph.links import PageLinks, pagination
from graph.nouns import NOUNS
from graph.pages import Asked, Lists
from graph.roots import Changed, Got, Listed
from graph.selections import NotPlannable, Selected
from graph.shapes import Cells, Level, Objects

MOST_FORMS = 128


class Begun(NamedTuple):
    """What is to be read: by one statement and what it shows, or by a reading of it and others."""

    fetch: Fetch
    show: Callable[[Rows], Any] | None
    """None where its rows are not all that is shown."""
    read: Callable[[], Reading[Any]]


class GotReading:
    """Reads one row by its id, as far as the actor may see it."""

    def __init__(
        self, source: Got | Changed, chosen: Selected, dialect: Dialect, leaves: Leaves
    ) -> None:
        self._listing = source.listing
        self._noun = NOUNS[source.noun]
        statement = self._noun.select()
        self._level = Level(self._noun, statement, dialect, leaves, is_one=True, shows=True)
        self._shape = self._level.shape(chosen.selected)
        self._show_alone: Callable[[Rows], Any] | None = None
        if self._level.is_single:
            self._show_alone = self._show_flat if self._shape.is_flat else self._show
        self._compiled: dict[Role, Compiled] = {}

    def begin(self, arguments: Mapping[str, Any], actor: Actor) -> Begun:
        compiled = self._compiled.get(actor.role) or self._compile(actor)
        fetch = compiled.fetch({"id": arguments["id"], "viewer_id": actor.id})
        return Begun(fetch, self._show_alone, partial(self._read, fetch))

    def _read(self, fetch: Fetch) -> Reading[Any]:
        rows = yield fetch
        return self._shown((yield from self._level.fill(rows)))

    def _show(self, rows: Rows) -> Any:
        return self._shown(self._level.cells(rows))

    def _show_flat(self, rows: Rows) -> Any:
        if not rows:
            raise LookupError
        return self._shape.of_row(rows[0])

    def _shown(self, cells: Cells) -> Any:
        if not cells.height:
            raise LookupError
        return self._shape.build(cells)[0]

    def _compile(self, actor: Actor) -> Compiled:
        visible = self._listing.one(_anyone_like(actor))
        by_id = self._listing.table.c.id == bindparam("id")
        statement = self._level.compiled(self._noun.select().where(by_id, visible))
        self._compiled[actor.role] = statement
        return statement


class ListedReading:
    """Reads a part of a list; by a statement for each form that its arguments can take."""

    def __init__(self, source: Listed, chosen: Selected, dialect: Dialect, leaves: Leaves) -> None:
        self._source = source
        self._chosen = chosen
        self._dialect = dialect
        self._leaves = leaves
        self._forms: OrderedDict[Any, _Form] = OrderedDict()
        # What can't be planned is found when the plan is made, not in its first request.
        _Form(source, chosen, Order(source.lists.listing.default_order), dialect, leaves)

    def begin(self, arguments: Mapping[str, Any], actor: Actor) -> Begun:
        lists, is_page = self._source.lists, self._source.is_page
        asked = lists.asked_page(arguments) if is_page else lists.asked_slice(arguments)
        form = self._form(asked, actor)
        values: dict[str, Any] = {f"filter_{name}": value for name, value in asked.filters.items()}
        values["viewer_id"] = actor.id
        values["offset"] = asked.offset
        if asked.place:
            values["place_value"], values["place_id"] = asked.place.value, asked.place.id
        return form.begin(asked, values)

    def _form(self, asked: Asked, actor: Actor) -> "_Form":
        key = (
            tuple(asked.filters),
            asked.order,
            asked.is_backwards,
            asked.place is not None,
            asked.size,
            actor.role,
        )
        if key not in self._forms:
            form = _Form(self._source, self._chosen, asked.order, self._dialect, self._leaves)
            form.compile(asked, _anyone_like(actor))
            self._forms[key] = form
            if len(self._forms) > MOST_FORMS:
                self._forms.popitem(last=False)
        return self._forms[key]


Shown = Callable[["_Found"], Any]


class _Found:
    """What a form has read: the rows to show, and what is said of the list beside them."""

    def __init__(self, asked: Asked, cells: Cells, read: int, count: int) -> None:
        self.asked = asked
        self.cells = cells
        self.read = read
        self.count = count

    @cached_property
    def links(self) -> PageLinks:
        asked = self.asked
        return pagination(asked.here, self.count, asked.page, asked.size).links


class _Form:
    """One selection of a list, sorted in one way, with one set of filters, of one length."""

    def __init__(
        self, source: Listed, chosen: Selected, order: Order, dialect: Dialect, leaves: Leaves
    ) -> None:
        self._lists: Lists = source.lists
        self._order = order
        self._is_page = source.is_page
        self._noun = NOUNS[self._lists.noun.__name__]
        self._dialect = dialect
        self._level = Level(self._noun, self._noun.select(), dialect, leaves)
        self._is_counted = False
        self._looks_ahead = False
        parts = self._page_part if source.is_page else self._connection_part
        self._parts = [(field.key, parts(field)) for field in chosen.selected]
        self._is_single = self._level.is_single and not self._is_counted

    def compile(self, asked: Asked, actor: Actor) -> None:
        """Make the statements."""
        listing = self._lists.listing
        filters: dict[str, Any] = {name: bindparam(f"filter_{name}") for name in asked.filters}
        # Not a parameter: PostgreSQL would think of a tenth of all rows, and plan each time anew.
        limit = literal_column(str(asked.limit if self._looks_ahead else asked.size), Integer)
        if self._is_page:
            offset = bindparam("offset", type_=Integer)
            rows = listing.page(actor, filters, self._order, limit=limit, offset=offset)
        else:
            place = self._place() if asked.place else None
            rows = listing.beyond(actor, filters, asked.way, place, limit)
        count = listing.count(actor, filters)
        beside = [count.correlate(None).scalar_subquery()] if self._is_counted else []
        self._rows = self._level.compiled(rows, *beside)
        self._count = Compiled(count, self._dialect)

    def begin(self, asked: Asked, values: Mapping[str, Any]) -> Begun:
        fetch = self._rows.fetch(values)
        return Begun(
            fetch,
            partial(self._show, asked) if self._is_single else None,
            partial(self._read, fetch, asked, values),
        )

    def _read(self, fetch: Fetch, asked: Asked, values: Mapping[str, Any]) -> Reading[Any]:
        rows: Rows = yield fetch
        cells = yield from self._level.fill(self._cut(rows, asked))
        count = (yield from self._count_beside(rows, values)) if self._is_counted else 0
        return self._shown(_Found(asked, cells, len(rows), count))

    def _show(self, asked: Asked, rows: Rows) -> Any:
        cells = self._level.cells(self._cut(rows, asked))
        return self._shown(_Found(asked, cells, len(rows), 0))

    def _shown(self, found: _Found) -> Any:
        return {key: part(found) for key, part in self._parts}

    def _cut(self, rows: Rows, asked: Asked) -> Rows:
        return rows if self._is_page else asked.cut(rows)

    def _count_beside(self, rows: Rows, values: Mapping[str, Any]) -> Reading[int]:
        """How long the list is, which each of its rows says: to ask anew is another journey."""
        if not rows:
            rows = yield self._count.fetch(values)
        count: int = rows[0][-1]
        return count

    def _place(self) -> Place:
        column = self._lists.listing.orders[self._order.by]
        return Place(bindparam("place_value", type_=column.type), bindparam("place_id"))

    def _page_part(self, field: Selected) -> Shown:
        match field.name:
            case "items":
                shape = self._level.shape(field.selected)
                return lambda found: shape.build(found.cells)
            case "page":
                return lambda found: found.asked.page
            case "page_size":
                return lambda found: found.asked.size
            case "has_previous":
                return lambda found: found.asked.page > 1
            case "pagination":
                return self._counted(_object(field, self._pagination_part))
            case "total" | "pages" | "has_next":
                return self._counted(_OF_COUNT[field.name])
            case _:
                return _typename(field)

    def _pagination_part(self, field: Selected) -> Shown:
        return _object(field, _link_part) if field.name == "links" else self._page_part(field)

    def _connection_part(self, field: Selected) -> Shown:
        match field.name:
            case "nodes":
                shape = self._level.shape(field.selected)
                return lambda found: shape.build(found.cells)
            case "edges":
                return self._objects([(part.key, self._edge_part(part)) for part in field.selected])
            case "page_info":
                return _object(field, self._info_part)
            case "total_count":
                return self._counted(lambda found: found.count)
            case _:
                return _typename(field)

    def _edge_part(self, field: Selected) -> Callable[[_Found], Sequence[Any]]:
        match field.name:
            case "node":
                shape = self._level.shape(field.selected)
                return lambda found: shape.build(found.cells)
            case "cursor":
                return self._cursors()
            case _:
                name = _typename(field)
                return lambda found: [name(found)] * found.cells.height

    def _info_part(self, field: Selected) -> Shown:
        match field.name:
            case "has_next_page":
                self._looks_ahead = True
                return lambda found: found.asked.has_next(found.read)
            case "has_previous_page":
                self._looks_ahead = True
                return lambda found: found.asked.has_previous(found.read)
            case "start_cursor":
                cursors = self._cursors()
                return lambda found: next(iter(cursors(found)), None)
            case "end_cursor":
                cursors = self._cursors()
                return lambda found: next(reversed(cursors(found)), None)
            case _:
                return _typename(field)

    def _objects(self, parts: list[tuple[str, Callable[[_Found], Sequence[Any]]]]) -> Shown:
        edges = Objects([key for key, _ in parts])
        return lambda found: edges.of([part(found) for _, part in parts], found.cells.height)

    def _cursors(self) -> Callable[[_Found], list[str]]:
        by, id_ = self._level.restored(self._order.by), self._level.restored("id")
        cursor = self._lists.listing.cursor

        def build(found: _Found) -> list[str]:
            if not found.cells.height:
                return []
            columns = found.cells.columns
            places = zip(columns[by], columns[id_], strict=True)
            return [cursor(self._order, *place) for place in places]

        return build

    def _counted(self, shown: Shown) -> Shown:
        self._is_counted = True
        return shown


def _object(field: Selected, part_of: Callable[[Selected], Shown]) -> Shown:
    parts = [(part.key, part_of(part)) for part in field.selected]
    return lambda found: {key: part(found) for key, part in parts}


def _link_part(field: Selected) -> Shown:
    if field.name == "__typename":
        return _typename(field)

    def show(found: _Found) -> str | None:
        link: str | None = getattr(found.links, field.name)
        return link

    return show


def _typename(field: Selected) -> Shown:
    if field.name != "__typename":
        raise NotPlannable(f"{field.name} of a list")
    name = str(field.type)
    return lambda _: name


def _anyone_like(actor: Actor) -> Actor:
    """An actor whose id is a parameter, so that the statement serves everyone of this kind."""
    return replace(actor, id=bindparam("viewer_id"))  # type: ignore[arg-type]


_OF_COUNT: Mapping[str, Shown] = {
    "total": lambda found: found.count,
    "pages": lambda found: -(-found.count // found.asked.size),
    "has_next": lambda found: found.asked.page * found.asked.size < found.count,
}
