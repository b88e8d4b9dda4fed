"""Texts as words, alike on both databases."""

import sys
import unicodedata

import pytest
from sqlalchemy import text

from db import search
from db.engine import Database, Tx
from db.ids import new_id
from db.words import GAP, LONGEST_WORD, MOST_WORDS, words

TERMS = {
    "postgresql": "SELECT DISTINCT unnest(tsvector_to_array(words)) FROM documents",
    "sqlite": "SELECT term FROM temp.vocabulary",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Implement the LOGIN", ["implement", "the", "login"]),
        ("foo_bar.baz-qux/it's", ["foo", "bar", "baz", "qux", "it", "s"]),
        ("Café, naïve Ångström", ["cafe", "naive", "angstrom"]),
        ("Cafe\u0301", ["cafe"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδοσ"]),
        ("ﬁx m²", ["fix", "m2"]),
        ("1e5f 2e96e v1.2", ["1e5f", "2e96e", "v1", "2"]),
        ("हिन्दी ไทย", ["हिन्दी", "ไทย"]),
        ("搜索 引擎 かな", ["搜", "索", "引", "擎", "か", "な"]),
        ("🤖 fix🤖bug €", ["fix", "bug"]),
    ],
)
def test_a_text_is_words(text: str, expected: list[str]) -> None:
    assert expected == words(text)


def test_words_are_bounded() -> None:
    assert ["x" * LONGEST_WORD] == words("x" * 1000)
    assert MOST_WORDS == len(words("x " * (MOST_WORDS + 1)))


async def test_the_databases_keep_every_letter_as_it_is(database: Database) -> None:
    # All of the first scripts; of the many characters of the later ones some.
    letters = map(chr, (*range(0x3000), *range(0x3000, sys.maxunicode, 37)))
    texts = [f"a{letter}b" for letter in letters if unicodedata.category(letter)[0] in "LMN"]
    made = {word for text in texts for word in words(text)}

    assert made == await database.write(_kept, texts)


def _kept(tx: Tx, texts: list[str]) -> set[str]:
    for start in range(0, len(texts), 1000):
        search.index(tx, new_id(), [texts[start : start + 1000]])
    if tx.dialect_name == "sqlite":
        tx.execute(text("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, search, row)"))
    return {term for (term,) in tx.all(text(TERMS[tx.dialect_name]))} - {GAP}
