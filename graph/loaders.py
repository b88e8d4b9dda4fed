"""One dataloader for each relation, made when it is first asked for; a set for each request."""

from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from aiodataloader import DataLoader

from db.engine import Database
from graph.nouns import NOUNS, ToMany


class Loaders:
    """The dataloaders of one request, or of one event of a subscription."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaders: dict[Any, DataLoader[str, Any]] = {}

    def one(self, noun: str) -> DataLoader[str, Any]:
        """Loads a noun's row by its id."""
        if noun not in self._loaders:
            self._loaders[noun] = _One(self._database, noun)
        return self._loaders[noun]

    def many(self, relation: ToMany) -> DataLoader[str, Any]:
        """Loads the rows that belong to an id."""
        if relation.statement not in self._loaders:
            self._loaders[relation.statement] = _Many(self._database, relation)
        return self._loaders[relation.statement]


class _One(DataLoader[str, Any]):
    def __init__(self, database: Database, noun: str) -> None:
        super().__init__()
        self._database = database
        self._noun = NOUNS[noun]

    async def batch_load_fn(self, keys: Sequence[str]) -> list[Any]:
        rows = await self._database.rows(self._noun.by_ids(keys))
        found = {row.id: row for row in rows}
        return [found.get(key) for key in keys]


class _Many(DataLoader[str, Any]):
    def __init__(self, database: Database, relation: ToMany) -> None:
        super().__init__()
        self._database = database
        self._relation = relation

    async def batch_load_fn(self, keys: Sequence[str]) -> list[Any]:
        found: dict[str, list[Any]] = defaultdict(list)
        for row in await self._database.rows(self._relation.statement(keys)):
            found[getattr(row, self._relation.key)].append(row)
        if not self._relation.single:
            return [found[key] for key in keys]
        return [next(iter(found[key]), self._absent()) for key in keys]

    def _absent(self) -> SimpleNamespace | None:
        absent = self._relation.absent
        return None if absent is None else SimpleNamespace(**absent)
