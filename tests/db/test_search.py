"""Search finds on both databases what a simple model in Python finds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from db import projects, search, tasks
from db.engine import Database, Tx
from db.errors import Invalid
from db.ids import new_id
from db.listing import Listing
from db.search import answering, parse
from db.tables import documents
from tests.db import record

FIELDS = {"title": "title", "description": "description", "tags": "tags"}
EVERYWHERE = ("title", "description")

# How a word may be written, and the words that it then is.
SPELLINGS = {
    "auth": ["auth"],
    "AUTHENTICATION": ["authentication"],
    "author": ["author"],
    "Café": ["cafe"],
    "cafe\u0301": ["cafe"],
    "1e5f": ["1e5f"],
    "1e5": ["1e5"],
    "foo-bar": ["foo", "bar"],
    "bar": ["bar"],
    "搜索": ["搜", "索"],
    "索": ["索"],
    "straße": ["strasse"],
    "हिन्दी": ["हिन्दी"],
}
spelling = st.sampled_from(sorted(SPELLINGS))
text = st.lists(spelling, max_size=4)
Text = list[str]


@dataclass(frozen=True)
class Doc:
    """A document, as lists of spellings."""

    title: Text
    description: Text
    tags: list[Text]

    def texts(self, field: str) -> list[Text]:
        """The texts of a field."""
        return self.tags if field == "tags" else [getattr(self, field)]

    def written(self) -> list[list[str]]:
        return [[", ".join(text) for text in self.texts(field)] for field in FIELDS]


docs = st.builds(Doc, text, text, st.lists(text, max_size=2))
terms = st.one_of(
    st.tuples(st.just("word"), spelling),
    st.tuples(st.just("prefix"), spelling.map(lambda word: word[:2])),
    st.tuples(st.just("phrase"), st.lists(spelling, min_size=1, max_size=3)),
)
queries: st.SearchStrategy[Any] = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["AND", "OR", ""]), inner, inner),
        st.tuples(st.sampled_from(["NOT", "-"]), inner),
        st.tuples(st.just("field"), st.sampled_from(sorted(FIELDS)), inner),
    ),
    max_leaves=6,
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(docs, min_size=1, max_size=5), st.lists(queries, min_size=1, max_size=6))
async def test_it_finds_what_the_model_finds(
    database: Database, some: list[Doc], asked: list[Any]
) -> None:
    kept = dict(enumerate(some))
    ids = await database.write(_replace, some)
    found = {}
    for query in asked:
        rows = await _answering(database, _typed(query))
        found[_typed(query)] = {ids[row.id] for row in rows}

    assert {
        _typed(query): {number for number, doc in kept.items() if _matches(query, doc)}
        for query in asked
    } == found


async def test_a_phrase_stands_within_one_text(database: Database) -> None:
    doc = Doc(["auth", "bar"], ["author"], [["1e5"], ["1e5f", "cafe\u0301"]])
    await database.write(_replace, [doc])

    assert {
        '"auth bar"': 1,
        '"bar author"': 0,
        '"author 1e5"': 0,
        'tags:"1e5f cafe"': 1,
        'tags:"1e5 1e5f"': 0,
    } == {
        search: len(await _answering(database, search))
        for search in (
            '"auth bar"', '"bar author"', '"author 1e5"', 'tags:"1e5f cafe"', 'tags:"1e5 1e5f"',
        )
    }  # fmt: skip


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("one two OR three", "one AND (two OR three)"),
        ("one AND two OR three", "(one two) OR three"),
        ("NOT one two", "(NOT one) AND two"),
        ("-one +two", "(NOT one) AND two"),
        ("one & two", "one two"),
        ("title:(one OR two)", "title:one OR title:two"),
        ("one-two", '"one two"'),
        (r"one\*", "one"),
        ("what?", "what"),
        ("or and not", '"or" and "not"'),
        ("NOT (NOT one)", "NOT (NOT (one))"),
    ],
)
def test_it_reads_as_lucene_does(search: str, expected: str) -> None:
    assert parse(expected, FIELDS) == parse(search, FIELDS)


@pytest.mark.parametrize(
    ("search", "position", "issue"),
    [
        ("one AND", 7, "syntax error"),
        ("one^1.2.3", 9, "syntax error"),
        ('"one two"~1.5', 13, "syntax error"),
        ("(one", 4, "syntax error"),
        ("one) two", 3, "syntax error"),
        ("AND", 0, "syntax error"),
        ('one "two', 4, "syntax error"),
        ("one two^3", 4, "unknown operator; quote it to search for it as it is"),
        ("one two~", 4, "unknown operator; quote it to search for it as it is"),
        ("[one TO two]", 0, "unknown operator; quote it to search for it as it is"),
        ("/one/", 0, "unknown operator; quote it to search for it as it is"),
        ("one o*e", 4, "a * may only end a word"),
        ("one todo:two", 4, "no such field; there are title, description, tags"),
        ("— & *", 0, "no word to search for"),
        ("(" * 60 + "one" + ")" * 60, 50, "nested too deeply"),
        ("NOT " * 60 + "one", 200, "nested too deeply"),
    ],
)
def test_a_mistake_is_named_with_its_position(search: str, position: int, issue: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse(search, FIELDS)

    assert "VALIDATION_INVALID_FORMAT" == raised.value.code
    assert {
        "field": "search",
        "issue": f"At position {position}: {issue}",
        "position": position,
    } == raised.value.details


def test_a_search_is_bounded() -> None:
    with pytest.raises(Invalid) as raised:
        parse("x" * 501, FIELDS)

    assert "VALIDATION_VALUE_TOO_LONG" == raised.value.code


def test_blank_is_no_search() -> None:
    assert {} == tasks.LISTING.prepared({"search": "  "})


async def test_a_task_is_found_by_what_it_is_now(database: Database) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann)
    words = {"title": "Old title", "description": "Old words", "tags": ["old tag"]}
    task_id = await record.task(database, ann, project_id, **words)
    changes = {"title": "New title", "tags": ["new tag"]}
    await database.write(tasks.change, ann, task_id, changes)

    assert {
        "old": [task_id],
        "title:old": [],
        "title:new": [task_id],
        "tags:old": [],
        'tags:"new tag"': [task_id],
        "tag": [],
        "NOT title:new": [],
        "NOT tags:old": [task_id],
    } == {
        search: await _found(database, tasks.LISTING, ann, search)
        for search in (
            "old", "title:old", "title:new", "tags:old", 'tags:"new tag"', "tag",
            "NOT title:new", "NOT tags:old",
        )
    }  # fmt: skip


async def test_a_project_is_found_by_what_it_is_now(database: Database) -> None:
    ann = await record.person(database)
    project_id = await record.project(database, ann, name="Shop", description="Old words")
    await database.write(projects.change, ann, project_id, {"description": "New words"})

    assert {
        "shop": [project_id],
        "name:shop": [project_id],
        "old": [],
        "new wo*": [project_id],
    } == {
        search: await _found(database, projects.LISTING, ann, search)
        for search in ("shop", "name:shop", "old", "new wo*")
    }


async def _answering(database: Database, search: str) -> Sequence[Any]:
    question = parse(search, FIELDS)
    return await database.rows(select(documents.c.id).where(answering(documents.c.id, question)))


async def _found(database: Database, listing: Listing, actor: Any, search: str) -> list[str]:
    filters = listing.prepared({"search": search})
    rows = await database.rows(select(listing.table.c.id).where(listing.matching(actor, filters)))
    return [row.id for row in rows]


def _replace(tx: Tx, some: list[Doc]) -> dict[str, int]:
    """Keep just these documents; their numbers by their ids."""
    tx.execute(delete(documents))
    ids = {new_id(): number for number in range(len(some))}
    for id_, number in ids.items():
        search.index(tx, id_, some[number].written())
    return ids


def _typed(query: Any) -> str:
    match query:
        case "word", word:
            return str(word)
        case "prefix", word:
            return f"{word}*"
        case "phrase", words:
            return f'"{" ".join(words)}"'
        case "field", field, inner:
            return f"{field}:({_typed(inner)})"
        case operator, inner:
            return f"{operator} ({_typed(inner)})"
        case operator, left, right:
            return f"({_typed(left)}) {operator} ({_typed(right)})"
    raise AssertionError(query)


def _matches(query: Any, doc: Doc, fields: tuple[str, ...] = EVERYWHERE) -> bool:
    match query:
        case "word", word:
            return _has(doc, fields, SPELLINGS[word])
        case "prefix", word:
            *whole, last = SPELLINGS.get(word) or [SPELLINGS_BEGUN[word]]
            return _has(doc, fields, [*whole, last], is_prefix=True)
        case "phrase", words:
            return _has(doc, fields, [each for word in words for each in SPELLINGS[word]])
        case "field", field, inner:
            return _matches(inner, doc, (field,))
        case "OR", left, right:
            return _matches(left, doc, fields) or _matches(right, doc, fields)
        case _, left, right:
            return _matches(left, doc, fields) and _matches(right, doc, fields)
        case _, inner:
            return not _matches(inner, doc, fields)
    raise AssertionError(query)


def _has(doc: Doc, fields: tuple[str, ...], wanted: list[str], *, is_prefix: bool = False) -> bool:
    return any(
        _begins(words[start : start + len(wanted)], wanted, is_prefix=is_prefix)
        for words in _texts(doc, fields)
        for start in range(len(words))
    )


def _texts(doc: Doc, fields: tuple[str, ...]) -> Iterator[list[str]]:
    for field in fields:
        for text in doc.texts(field):
            yield [word for spelling in text for word in SPELLINGS[spelling]]


def _begins(words: list[str], wanted: list[str], *, is_prefix: bool) -> bool:
    if not is_prefix or len(words) != len(wanted):
        return words == wanted
    return words[:-1] == wanted[:-1] and words[-1].startswith(wanted[-1])


# The first two characters of each, where that is no spelling of its own.
SPELLINGS_BEGUN = {
    word[:2]: SPELLINGS[word][0][:2] for word in SPELLINGS if word[:2] not in SPELLINGS
}
