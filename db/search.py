"""Search: from what people type to a question that both databases answer alike."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luqum import tree
from luqum.exceptions import ParseError
from luqum.thread import parse as parse_lucene
from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Dialect,
    Text,
    TypeDecorator,
    bindparam,
    insert,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db.engine import Tx
from db.errors import InvalidFormat, ValueTooLong
from db.listing import Filter
from db.tables import documents
from db.words import GAP, Document, words

LONGEST_SEARCH = 500
DEEPEST_SEARCH = 50
COLUMNS = {"title": "A", "description": "B", "tags": "C"}
"""The fields of every document, and what PostgreSQL calls them."""
EVERYWHERE = ("title", "description")
"""Where a word is looked for that names no field."""


@dataclass(frozen=True)
class Phrase:
    """Words that follow each other in one field; of the last, perhaps only the beginning."""

    words: tuple[str, ...]
    columns: tuple[str, ...]
    is_prefix: bool = False


@dataclass(frozen=True)
class All:
    parts: "tuple[Question, ...]"


@dataclass(frozen=True)
class Either:
    parts: "tuple[Question, ...]"


@dataclass(frozen=True)
class Not:
    part: "Question"


Question = Phrase | All | Either | Not


def searched(id_: ColumnElement[str], fields: Mapping[str, str]) -> Filter:
    """Lets rows through whose documents answer a search.

    `fields` are the names by which a search may ask for a field, and the documents' own.
    """

    return Filter(lambda question: answering(id_, question), lambda search: parse(search, fields))


def index(tx: Tx, id_: str, document: Document) -> None:
    """Let something be found from now on: its title, its description, its tags."""
    tx.execute(insert(documents), {"id": id_, "words": document})


def reindex(tx: Tx, id_: str, document: Document) -> None:
    """Let something be found by what it is now."""
    tx.execute(update(documents).where(documents.c.id == id_).values(words=document))


def parse(search: str, fields: Mapping[str, str]) -> Question | None:
    """What is asked for; None when nothing is. Raises `InvalidFormat`, naming the position.

    Words side by side must all be there. `AND`, `OR`, `NOT`, `-word`, `"exact phrases"`, the
    beginnings of words (`auth*`), parentheses and `field:` are understood as Lucene does.
    """
    if len(search) > LONGEST_SEARCH:
        raise ValueTooLong("search", LONGEST_SEARCH)
    if not search.strip():
        return None
    try:
        parsed = parse_lucene(search)
    except (ParseError, ArithmeticError, ValueError) as error:
        raise _refused(_position(error, search), "syntax error") from None
    question = _Reader(fields).read(parsed, EVERYWHERE, DEEPEST_SEARCH)
    if question is None:
        raise _refused(0, "no word to search for")
    return question


class answering(FunctionElement[bool]):  # noqa: N801 - reads as the predicate that it is
    """True of an id whose document answers a question; the question is one parameter."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, id_: ColumnElement[str], question: Any) -> None:
        if isinstance(question, BindParameter):
            bound = bindparam(question.key, type_=_Asked())
        else:
            bound = bindparam("question", question, type_=_Asked(), unique=True)
        super().__init__(id_, bound)


class _Asked(TypeDecorator[Question]):
    """A question in the words of the database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Question | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return _tsquery(value) if dialect.name == "postgresql" else _fts5(value)


class _Reader:
    """Makes questions of a parsed search; what has no word in it is left out, as Lucene does."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def read(self, node: tree.Item, columns: tuple[str, ...], depth: int) -> Question | None:
        if not depth:
            raise _refused(node.pos, "nested too deeply")
        match node:
            case tree.Word():
                return _word(node, columns)
            case tree.Phrase():
                return _phrase(node.value, columns)
            case tree.SearchField():
                return self.read(node.expr, self._named(node), depth - 1)
            case tree.BaseGroup() | tree.Plus():
                return self.read(node.children[0], columns, depth - 1)
            case tree.Not() | tree.Prohibit():
                return _negated(self.read(node.a, columns, depth - 1))
            case tree.BaseOperation():
                parts = (self.read(child, columns, depth - 1) for child in node.children)
                return _joined(node, tuple(part for part in parts if part is not None))
        raise _refused(node.pos, "unknown operator; quote it to search for it as it is")

    def _named(self, node: tree.SearchField) -> tuple[str, ...]:
        if node.name not in self._fields:
            known = ", ".join(self._fields)
            raise _refused(node.pos, f"no such field; there are {known}")
        return (self._fields[node.name],)


def _word(node: tree.Word, columns: tuple[str, ...]) -> Phrase | None:
    stars = [star.start() for star in _STAR.finditer(node.value)]
    if not stars:
        return _phrase(node.value, columns)
    if stars != [len(node.value) - 1]:
        raise _refused(node.pos, "a * may only end a word")
    return _phrase(node.value[:-1], columns, is_prefix=True)


def _phrase(text: str, columns: tuple[str, ...], *, is_prefix: bool = False) -> Phrase | None:
    found = tuple(words(text))
    return Phrase(found, columns, is_prefix) if found else None


def _negated(part: Question | None) -> Not | None:
    return None if part is None else Not(part)


def _joined(node: tree.BaseOperation, parts: tuple[Question, ...]) -> Question | None:
    if len(parts) > 1:
        return Either(parts) if isinstance(node, tree.OrOperation) else All(parts)
    return parts[0] if parts else None


def _refused(position: int, issue: str) -> InvalidFormat:
    return InvalidFormat("search", f"At position {position}: {issue}", position=position)


def _position(error: ParseError, search: str) -> int:
    named = _PLACE.search(str(error))
    return int(named[1]) if named else len(search)


def _fts5(question: Question) -> str:
    match question:
        case Phrase(found, columns, is_prefix):
            star = " *" if is_prefix else ""
            return f'{{{" ".join(columns)}}} : "{" ".join(found)}"{star}'
        case All(parts):
            wanted = [_fts5(part) for part in parts if not isinstance(part, Not)]
            unwanted = [_fts5(part.part) for part in parts if isinstance(part, Not)]
            both = " AND ".join(wanted or [_ANY_DOCUMENT])
            return f"({' NOT '.join([f'({both})', *unwanted])})"
        case Either(parts):
            return f"({' OR '.join(map(_fts5, parts))})"
        case Not(part):
            # It only knows «this, but not that».
            return f"({_ANY_DOCUMENT} NOT {_fts5(part)})"


def _tsquery(question: Question) -> str:
    match question:
        case Phrase(found, columns, is_prefix):
            where = "".join(COLUMNS[column] for column in columns)
            *others, last = (f"'{word}':{where}" for word in found)
            return f"({' <-> '.join([*others, last + '*' * is_prefix])})"
        case All(parts):
            return f"({' & '.join(map(_tsquery, parts))})"
        case Either(parts):
            return f"({' | '.join(map(_tsquery, parts))})"
        case Not(part):
            return f"!{_tsquery(part)}"


@compiles(answering, "postgresql")
def _answering_postgresql(element: answering, compiler: SQLCompiler, **kw: Any) -> str:
    id_, question = (compiler.process(clause, **kw) for clause in element.clauses)
    matches = f"words @@ CAST({question} AS tsquery)"
    return f"{id_} IN (SELECT documents.id FROM documents WHERE {matches})"  # noqa: S608


@compiles(answering, "sqlite")
def _answering_sqlite(element: answering, compiler: SQLCompiler, **kw: Any) -> str:
    id_, question = (compiler.process(clause, **kw) for clause in element.clauses)
    found = "search JOIN documents ON documents.seq = search.rowid"
    return f"{id_} IN (SELECT documents.id FROM {found} WHERE search MATCH {question})"  # noqa: S608


_STAR = re.compile(r"(?<!\\)\*")
_PLACE = re.compile(r"at position (\d+)!?$")
_ANY_DOCUMENT = f'{{present}} : "{GAP}"'
