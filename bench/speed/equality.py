"""That every contender answers the same before it is measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from bench.speed.contenders import LIMIT, US, Place
from bench.speed.servers import Server, answer

CHECKED = 3
OF_THE_MOMENT = ("timestamp", "request_id")


class Differs(Exception):
    """Two contenders answer differently."""


def check_alike(servers: Sequence[Server], asked: Mapping[int, Sequence[Place]]) -> None:
    """Raises `Differs` unless all say the same of the same places.

    Ours and the hand-written answer must be the same to the letter; of others, whose spelling is
    their own, the rows and what belongs to them.
    """
    for what in ("Q1", "Q2", "Q3", "R1", "R2"):
        able = [server for server in servers if what in server.contender.asks]
        for place in range(0, len(asked[able[0].port]), len(asked[able[0].port]) // CHECKED):
            found = [
                (server, _answered(server, what, asked[server.port][place])) for server in able
            ]
            _compare(what, found)


def _compare(what: str, found: list[tuple[Server, Any]]) -> None:
    by_database: dict[str, Any] = {}
    for server, body in found:
        if server.contender.name in (LIMIT, US):
            other = by_database.setdefault(server.database, body)
            _expect(other, body, f"{what}, {server.database}: ours and hand-written")
    first = _essence(found[0][1])
    for server, body in found:
        _expect(first, _essence(body), f"{what}: {server.contender.name}, {server.database}")


def _expect(expected: Any, actual: Any, whose: str) -> None:
    if expected != actual:
        raise Differs(f"{whose}\n{expected!s:.2000}\n{actual!s:.2000}")


def _answered(server: Server, what: str, place: Place) -> Any:
    body = orjson.loads(answer(server, server.contender.asks[what](place)))
    if body.get("errors") if isinstance(body, dict) else None:
        raise Differs(f"{server.contender.name}: {body['errors']}")
    if meta := body.get("meta") if isinstance(body, dict) else None:
        for word in OF_THE_MOMENT:
            meta.pop(word)
    return body


def _essence(body: Any) -> Any:
    """What an answer says in anyone's spelling: its rows, by ids, names and titles."""
    if isinstance(body, dict):
        for word in ("data", "tasks", "task", "nodes", "items"):
            if word in body and not ("id" in body and word == "task"):
                return _essence(body[word])
        return {
            word: _essence(body[word])
            for word in ("id", "title", "name", "username", "kind", "priority", "project",
                         "assignee", "history", "dependencies", "metadata", "tags")
            if word in body
        }  # fmt: skip
    return [_essence(one) for one in body] if isinstance(body, list) else body
