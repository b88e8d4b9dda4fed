"""What comes next for runs and their tasks: written together with what is told of it."""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Delete,
    Float,
    FromClause,
    Insert,
    Integer,
    Row,
    String,
    and_,
    bindparam,
    case,
    delete,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from db import batches, events, standing
from db.actors import Actor
from db.clock import from_now
from db.engine import Moment
from db.ids import new_id
from db.statements import Statement, Writing
from db.tables import events as log
from db.tables import leases, runs, tasks, waiting
from db.types import Json, UtcDateTime

UNTOLD = ""
NOTHING, WAITING, LEASES = "", waiting.name, leases.name

Value = Callable[[str], ColumnElement[Any]]


class Step(NamedTuple):
    """What comes next for a run, if it still has this fence, and for its task."""

    run_id: str
    fence: int
    word: str
    values: Mapping[str, Any]
    task_values: Mapping[str, Any]
    details: Mapping[str, Any] = {}
    details_of_command: Mapping[str, Any] | None = None
    """What is told of a run of its own, where that is something else."""
    actor: Actor | None = None
    leaves: str = NOTHING
    """The table by which it was queued or held, if it is that no more."""
    pause_seconds: float | None = None
    """After which it may be claimed, if it is queued again."""
    is_first: bool = False
    """Whether it is written, and told, only where the run has not been started yet. It is for
    PostgreSQL, where the answer to a commit may be lost, so that the step is taken once more.
    """


def take(at: Moment, steps: Iterable[Step]) -> Writing[Sequence[Row[Any]]]:
    """Take a step of each of some runs; answers the runs that still had the fence.

    The database itself makes of the task what is told of it: nothing has to be read before. On
    PostgreSQL, where each statement is a journey, it is one for all of them.
    """
    alike: dict[_Kind, list[Step]] = defaultdict(list)
    for step in steps:
        alike[_kind(step)].append(step)
    way = _take_at_once if at.dialect_name == "postgresql" else _take_one_by_one
    taken = yield from way(at, alike)
    untold = {step.run_id for kind, some in alike.items() if not kind.is_told for step in some}
    for run in taken:
        if run.run_id not in untold:
            events.hint(at, run)
    return taken


class _Kind(NamedTuple):
    """What steps have in common that are written alike."""

    is_told: bool
    is_queued: bool
    is_first: bool
    leaves: str
    of_run: tuple[str, ...]
    of_task: tuple[str, ...]

    def columns(self, at: Moment, steps: Sequence[Step]) -> dict[str, list[Any]]:
        """The steps' values, by their names in statements."""
        found: dict[str, list[Any]] = {
            "id": [step.run_id for step in steps],
            "fence": [step.fence for step in steps],
            "now": [at.now] * len(steps),
        }
        for name in self.of_run:
            found[f"runs_{name}"] = [step.values[name] for step in steps]
        for name in self.of_task:
            found[f"tasks_{name}"] = [step.task_values[name] for step in steps]
        if self.is_queued:
            found["pause"] = [step.pause_seconds for step in steps]
        if self.is_told:
            found["event_id"] = [new_id() for _ in steps]
            found["word"] = [step.word for step in steps]
            found["actor_id"] = [step.actor and step.actor.id for step in steps]
            found["details"] = [step.details for step in steps]
            found["details_of_command"] = [
                step.details if step.details_of_command is None else step.details_of_command
                for step in steps
            ]
        return found


def _kind(step: Step) -> _Kind:
    return _Kind(
        step.word != UNTOLD,
        step.pause_seconds is not None,
        step.is_first,
        step.leaves,
        tuple(step.values),
        tuple(step.task_values),
    )


def _take_one_by_one(
    at: Moment, alike: Mapping[_Kind, Sequence[Step]]
) -> Writing[Sequence[Row[Any]]]:
    taken: list[Row[Any]] = []
    for kind, steps in alike.items():
        *before, last = _one_by_one(kind)
        columns = kind.columns(at, steps)
        for row in zip(*columns.values(), strict=True):
            values = dict(zip(columns, row, strict=True))
            for statement in before:
                yield statement, values
            taken += yield last, values
    return taken


def _take_at_once(at: Moment, alike: Mapping[_Kind, Sequence[Step]]) -> Writing[Sequence[Row[Any]]]:
    if not alike:
        return ()
    kinds = []
    values: dict[str, Any] = {"ids": [], "fences": []}
    # In one order, so that there are few such statements.
    for place, (kind, steps) in enumerate(sorted(alike.items())):
        columns = kind.columns(at, steps)
        values["ids"] += columns["id"]
        values["fences"] += columns["fence"]
        differing = []
        for name, found in columns.items():
            # What they have in common is sent once: arrays cost both sides time.
            if name in _WHICH or found.count(found[0]) < len(found):
                differing.append(name)
                values[f"{name}_{place}"] = found
            else:
                values[f"{name}_{place}"] = found[0]
        kinds.append((kind, tuple(differing)))
    return (yield _at_once(tuple(kinds)), values)


@functools.cache
def _one_by_one(kind: _Kind) -> Sequence[Statement]:
    """The statements of one step; the last one says whether it was taken."""
    is_meant = and_(runs.c.id == _parameter("id"), runs.c.fence == _parameter("fence"))
    held = _HELD.where(is_meant).cte("held")
    is_its = tasks.c.id == select(runs.c.task_id).where(is_meant).scalar_subquery()
    run = select(runs.c.id.label("run_id")).where(is_meant).cte("step")
    return [
        *(Statement(told) for told in _told(kind, held, _parameter)),
        *(Statement(moved) for moved in _moved(kind, run, _parameter)),
        Statement(update(tasks).where(is_its).values(_of_task(kind, _parameter))),
        Statement(
            update(runs)
            .where(is_meant)
            .values(_of_run(kind, _parameter))
            .returning(runs.c.id.label("run_id"), *(runs.c[name] for name in _OF_RUN))
        ),
    ]


@functools.cache
def _at_once(kinds: Sequence[tuple[_Kind, Sequence[str]]]) -> Statement:
    """One statement: it locks all the runs, and then writes each kind of steps."""
    meant = batches.unnested("meant", id=("ids", String()), fence=("fences", Integer()))
    held = (
        _HELD.join(meant, and_(runs.c.id == meant.c.id, runs.c.fence == meant.c.fence))
        # Always in this order, so that two that need the same runs never wait for each other.
        .order_by(runs.c.id)
        .with_for_update(of=runs)
        .cte("held")
    )
    taken = select(held.c.run_id, *(held.c[name] for name in _OF_RUN))
    for place, (kind, differing) in enumerate(kinds):
        taken = taken.add_cte(*_written(kind, differing, place, held))
    return Statement(taken)


def _written(kind: _Kind, differing: Sequence[str], place: int, held: CTE) -> Iterable[CTE]:
    arrays = {name: (f"{name}_{place}", _type(name)) for name in differing}
    new = batches.unnested(f"new_{place}", **arrays)
    others = (new.c[name] for name in differing if name not in _WHICH)
    # By its fence, too: of the same run there may be a step of another attempt.
    is_meant = and_(new.c.id == held.c.run_id, new.c.fence == held.c.fence)
    steps = select(held, *others).join(new, is_meant)
    if kind.is_first:
        steps = steps.where(held.c.started_at.is_(None))
    step = steps.cte(f"step_{place}")

    def value(name: str) -> ColumnElement[Any]:
        return step.c[name] if name in differing else _parameter(name, f"{name}_{place}")

    run = update(runs).where(runs.c.id == step.c.run_id).values(_of_run(kind, value))
    task = update(tasks).where(tasks.c.id == step.c.task_id).values(_of_task(kind, value))
    writes = (run, task, *_told(kind, step, value), *_moved(kind, step, value))
    return [write.cte(f"write_{place}_{number}") for number, write in enumerate(writes)]


def _of_run(kind: _Kind, value: Value) -> Mapping[str, ColumnElement[Any]]:
    due = {"due_at": from_now(value("pause"))} if kind.is_queued else {}
    return {name: value(f"runs_{name}") for name in kind.of_run} | due


def _of_task(kind: _Kind, value: Value) -> Mapping[str, ColumnElement[Any]]:
    return {name: value(f"tasks_{name}") for name in kind.of_task} | {"updated_at": value("now")}


def _told(kind: _Kind, held: FromClause, value: Value) -> Sequence[Insert]:
    """The event of a step, unless nothing is told of it; the task is as it was before."""
    if not kind.is_told:
        return []
    before = {name: held.c[f"task_{name}"] for name in standing.OF_TASK}
    now = {name: value(f"tasks_{name}") for name in kind.of_task}
    is_command = held.c.task_id.is_(None)
    news = standing.news(before, now, value("details"))
    columns = {
        "id": value("event_id"),
        "kind": case((is_command, _RUN), else_=_TASK).concat(value("word")),
        "at": value("now"),
        "actor_id": value("actor_id"),
        "project_id": held.c.project_id,
        "task_id": held.c.task_id,
        "run_id": held.c.run_id,
        "data": case((is_command, value("details_of_command")), else_=news),
        "tx": events.current_tx(),
    }
    return [insert(log).from_select([*columns], select(*columns.values()))]


def _moved(kind: _Kind, step: FromClause, value: Value) -> Iterable[Insert | Delete]:
    """What a step changes in the tables that the queue goes by."""
    if kind.leaves:
        table = runs.metadata.tables[kind.leaves]
        yield delete(table).where(table.c.run_id.in_(select(step.c.run_id)))
    if kind.is_queued:
        columns = {
            "run_id": runs.c.id,
            "task_id": runs.c.task_id,
            "bucket": runs.c.bucket,
            "lane": runs.c.lane,
            "rank": runs.c.rank,
            "due_at": from_now(value("pause")),
        }
        place = select(*columns.values()).join(step, step.c.run_id == runs.c.id)
        yield insert(waiting).from_select([*columns], place)


def _parameter(name: str, key: str | None = None) -> ColumnElement[Any]:
    return bindparam(key or name, type_=_type(name))


def _type(name: str) -> TypeEngine[Any]:
    table, _, of = name.partition("_")
    columns = {"runs": runs.c, "tasks": tasks.c}.get(table)
    return batches.unlimited(columns[of].type) if columns else _TYPES[name]


_TYPES: Mapping[str, TypeEngine[Any]] = {
    **dict.fromkeys(("id", "event_id", "word", "actor_id"), String()),
    **dict.fromkeys(("details", "details_of_command"), Json),
    "fence": Integer(),
    "now": UtcDateTime(),
    "pause": Float(),
}
_RUN, _TASK = literal_column("'run.'", String()), literal_column("'task.'", String())
_OF_RUN = ("task_id", "project_id", "runner")
_WHICH = ("id", "fence")
_HELD = (
    select(
        runs.c.id.label("run_id"),
        runs.c.fence,
        runs.c.started_at,
        *(runs.c[name] for name in _OF_RUN),
        *(tasks.c[name].label(f"task_{name}") for name in standing.OF_TASK),
    )
    .select_from(runs)
    .outerjoin(tasks, tasks.c.id == runs.c.task_id)
)
