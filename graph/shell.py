"""A command line as a shell reads it: its simple commands, and what is known of their words."""

import asyncio
import codecs
import re
import sysconfig
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson

UNKNOWN = "\0"
"""Stands in a word for what only shows when it runs: no command holds NUL."""
HOME = "~"

_PARSER = (str(Path(sysconfig.get_path("scripts"), "shfmt")), "--to-json", "-ln", "bash")
_PATIENCE_SECONDS = 2.0
_MOST_AT_ONCE = 4
_LARGEST_TREE = 16 * 1024 * 1024
_MOST_COMMANDS = 1000
_ESCAPED = re.compile(r"\\(?:\n|(.))", re.DOTALL)
_ESCAPED_IN_QUOTES = re.compile(r'\\(?:\n|([$`"\\]))')
_ENDLESS = ("true", ":")


class Unreadable(Exception):
    """A shell would not read this; says where and why: `1:1: "if" must end with "fi"`."""


@dataclass(frozen=True)
class Redirect:
    """Where input comes from, or output goes: `>` and `/dev/null`."""

    operator: str
    target: str


@dataclass(frozen=True)
class Command:
    """A simple command: a program and its words, quotes taken away."""

    words: tuple[str, ...]
    read: str | None = None
    """What a here-document or a here-string gives it to read."""
    fed_by: tuple["Command", ...] = ()
    """Those that come before it in its pipeline."""
    within: tuple["Command", ...] = ()
    """Those whose output becomes its words, or is read by it as a file."""

    @property
    def program(self) -> str:
        """Its name, without the path to it."""
        return self.words[0].rpartition("/")[2]


@dataclass(frozen=True)
class Script:
    """All simple commands of a command line, however deep, in the order of its text."""

    commands: tuple[Command, ...]
    redirects: tuple[Redirect, ...]
    multiplies: bool
    """Whether it starts more and more of itself."""


async def read(text: str) -> Script:
    """What a shell would do with a text. Nothing of it is run. Raises `Unreadable`.

    It is parsed in a process of its own: some texts take a parser a lot of time and memory.
    """
    # Whatever is unknown is a variable that nobody has set.
    known = text.replace(UNKNOWN, "${_}").encode()
    async with _places(asyncio.get_running_loop()):
        tree = await _tree_of(known)
    return await asyncio.to_thread(_understood, tree)


@cache
def _places(_loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
    """One request may ask for hundreds, and to start a process takes the loop's own time."""
    return asyncio.Semaphore(_MOST_AT_ONCE)


async def _tree_of(text: bytes) -> bytes:
    parser = await asyncio.create_subprocess_exec(
        *_PARSER, stdin=PIPE, stdout=PIPE, stderr=PIPE, env={}
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await _parsed(parser, text)
    except TimeoutError:
        raise Unreadable("It is too complicated") from None
    finally:
        if parser.returncode is None:
            parser.kill()
            await parser.wait()


async def _parsed(parser: Process, text: bytes) -> bytes:
    assert parser.stdin
    assert parser.stdout
    assert parser.stderr
    parser.stdin.write(text)
    parser.stdin.close()
    tree = bytearray()
    while piece := await parser.stdout.read(1024 * 1024):
        tree += piece
        if len(tree) > _LARGEST_TREE:
            raise Unreadable("It is too complicated")
    complaint = await parser.stderr.read()
    if await parser.wait():
        raise Unreadable(complaint.decode(errors="replace").strip())
    return bytes(tree)


def _understood(tree: bytes) -> Script:
    try:
        return _Reader().script(orjson.loads(tree))
    except (RecursionError, orjson.JSONDecodeError):
        raise Unreadable("It is nested too deeply") from None


@dataclass
class _Reader:
    """Walks a syntax tree in the order of its text, and remembers what variables hold."""

    redirects: list[Redirect] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=lambda: {"HOME": HOME, "PWD": "."})
    multiplies: bool = False
    _count: int = 0

    def script(self, tree: Any) -> Script:
        return Script(tuple(self._commands(tree)), tuple(self.redirects), self.multiplies)

    def _commands(self, node: Any, fed_by: Sequence[Command] = ()) -> list[Command]:
        """The simple commands at and below a node."""
        match node:
            case {"Type": "CallExpr"}:
                return self._call(node, None, fed_by)
            case {"Cmd": _} | {"Redirs": _}:
                return self._statement(node, fed_by)
            case {"Type": "BinaryCmd", "Op": "|" | "|&", "X": left, "Y": right}:
                before = self._commands(left, fed_by)
                return [*before, *self._commands(right, (*fed_by, *before))]
            case {"Type": "FuncDecl", "Name": {"Value": name}, "Body": body}:
                return self._function(name, body)
            case {"Type": "WhileClause", "Cond": condition, "Do": body}:
                return self._loop(condition, body, fed_by)
            case {"Name": {"Value": name}, "Value": value}:
                self.variables[name] = self._text(value)
                return self._commands(value)
        return [found for inner in _below(node) for found in self._commands(inner, fed_by)]

    def _statement(self, node: Any, fed_by: Sequence[Command]) -> list[Command]:
        given: str | None = None
        found: list[Command] = []
        for redirect in node.get("Redirs", ()):
            word = redirect["Word"]
            found += self._commands(word)
            if "Hdoc" in redirect or redirect["Op"] == "<<<":
                given = self._text(redirect.get("Hdoc", word))
            else:
                self.redirects.append(Redirect(redirect["Op"], self._text(word)))
        command = node.get("Cmd", {})
        if command.get("Type") == "CallExpr":
            return [*found, *self._call(command, given, (*fed_by, *found))]
        return [*found, *self._commands(command, fed_by)]

    def _call(self, node: Any, given: str | None, fed_by: Sequence[Command]) -> list[Command]:
        within = [*self._commands(node.get("Assigns", [])), *self._commands(node.get("Args", []))]
        words = tuple(self._text(word) for word in node.get("Args", ()))
        if not words:
            return within
        self._count += 1
        if self._count > _MOST_COMMANDS:
            raise Unreadable("It is too complicated")
        return [*within, Command(words, given, tuple(fed_by), tuple(within))]

    def _function(self, name: str, body: Any) -> list[Command]:
        commands = self._commands(body)
        again = [command for command in commands if command.words[0] == name]
        is_piped = any(before.words[0] == name for command in again for before in command.fed_by)
        if again and (is_piped or _has_background(body)):
            self.multiplies = True
        return commands

    def _loop(self, condition: Any, body: Any, fed_by: Sequence[Command]) -> list[Command]:
        conditions, commands = self._commands(condition), self._commands(body, fed_by)
        if _has_background(body) and any(one.words[0] in _ENDLESS for one in conditions):
            self.multiplies = True
        return [*conditions, *commands]

    def _text(self, word: Any) -> str:
        """What a word says once its quotes and known variables are replaced."""
        return "".join(self._part(part, _ESCAPED) for part in word.get("Parts", ()))

    def _part(self, part: Any, escaped: re.Pattern[str]) -> str:
        match part:
            case {"Type": "Lit", "Value": text}:
                return escaped.sub(lambda found: found[1] or "", text)
            case {"Type": "SglQuoted", "Dollar": True, "Value": text}:
                return _decoded(text)
            case {"Type": "SglQuoted", "Value": text}:
                return str(text)
            case {"Type": "DblQuoted", "Parts": parts}:
                return "".join(self._part(inner, _ESCAPED_IN_QUOTES) for inner in parts)
            case {"Type": "SglQuoted" | "DblQuoted"}:
                return ""
            case {"Type": "ParamExp", "Param": {"Value": name}}:
                return self._variable(name, part)
            case _:
                return UNKNOWN

    def _variable(self, name: str, node: Any) -> str:
        match node:
            case {"Exp": {"Op": ":-" | "-" | ":=" | "=", "Word": default}}:
                return self.variables.get(name) or self._text(default)
            case {"Exp": _} | {"Slice": _} | {"Repl": _} | {"Index": _} | {"Length": True}:
                return UNKNOWN
            case _:
                return self.variables.get(name, UNKNOWN)


def _below(node: Any) -> Iterable[Any]:
    match node:
        case dict():
            return node.values()
        case list():
            return node
        case _:
            return ()


def _has_background(node: Any) -> bool:
    return any(inner.get("Background") for inner in _objects(node))


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in _below(node):
        yield from _objects(inner)


def _decoded(text: str) -> str:
    r"""What `$'\x2f'` means."""
    try:
        return codecs.decode(text, "unicode_escape")
    except UnicodeDecodeError:
        return text
