"""Texts as words: made here, once, so that both databases find the same by them."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Dialect, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.types import TypeEngine

LONGEST_WORD = 64
MOST_WORDS = 10_000
"""Of one text: PostgreSQL numbers at most 16,383 words of a document."""
GAP = "\ue000"
"""Stands between two texts, and in every document: a letter of nobody's, which no word has."""

Document = Sequence[Sequence[str]]
"""What can be searched of a thing: the texts of each of its fields."""


def words(text: str) -> list[str]:
    """The words of a text: neither case nor accents nor the forms of letters make a difference.

    A word is a run of letters, digits and marks; in scripts that are written without spaces, each
    character is one.
    """
    plain = _ACCENTS.sub("", _decomposed(_decomposed(text).casefold()))
    spaced = unicodedata.normalize("NFKC", plain).translate(_CHARACTERS)
    return [word[:LONGEST_WORD] for word in spaced.split()[:MOST_WORDS]]


class Words(TypeDecorator[Document]):
    """A document's words: what PostgreSQL searches, or the JSON from which SQLite's index is made.

    It is only ever written and searched; the texts themselves are kept where they belong.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TSVECTOR())
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Document | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if dialect.name == "postgresql":
            return " ".join(_numbered(value))
        return orjson.dumps([f" {GAP} ".join(_joined(texts)) for texts in value]).decode()


def _decomposed(text: str) -> str:
    return unicodedata.normalize("NFKD", text)


def _joined(texts: Sequence[str]) -> Iterator[str]:
    return (" ".join(words(text)) for text in texts)


def _numbered(document: Document) -> Iterator[str]:
    """`'word':1A`: each word with its place, and with a letter for its field."""
    place = 0
    for letter, texts in zip("ABCD", document, strict=False):
        for text in texts:
            for word in words(text):
                place += 1
                yield f"'{word}':{place}{letter}"
            place += 1


class _Characters(dict[int, str]):
    """What becomes of a character in a list of words; found out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character)[0] not in "LMN":
            found = " "
        elif any(code in script for script in _WITHOUT_SPACES):
            found = f" {character} "
        else:
            found = character
        self[code] = found
        return found


_ACCENTS = re.compile("[\u0300-\u036f]")
_WITHOUT_SPACES = (
    range(0x3040, 0x3100),  # kana
    range(0x3400, 0xA000),  # Chinese characters
    range(0xF900, 0xFB00),
    range(0x20000, 0x40000),
)
_CHARACTERS = _Characters()
