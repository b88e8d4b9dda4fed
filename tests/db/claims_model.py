"""Eight claimers at once, and every claim compared with what a model in Python would have taken."""

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select, update

from db import claims
from db.actors import Actor
from db.clock import from_now
from db.engine import Database, Tx
from db.errors import DatabaseUnavailable
from db.lifecycle import Ended, Outcome
from db.tables import lanes, task_dependencies, tasks, waiting
from db.types import Lane, ProjectStatus, RunStatus
from tests.db import queues

CLAIMERS = 8
SHARE = claims.SHARE_SECONDS * 1_000_000
LIMITS = (1, 1, 2, 2, 3, 3, 4, 5)
TASKS_OF_A_PROJECT = 12
MOST_AT_ONCE = 4
RANKS = [minute * 60_000_000 for minute in range(12)]
"""Few, so that many runs have the same; minutes, as what a running one pushes the next back."""


@dataclass(frozen=True)
class Waiting:
    """A queued run, as far as its turn depends on it."""

    run_id: str
    bucket: str
    lane: Lane
    rank: int
    task_id: str | None
    is_due: bool = True


@dataclass
class Turn:
    """What one transaction did, in the order in which transactions had the gate."""

    number: int
    ended: list[tuple[str, RunStatus]] = field(default_factory=list)
    most: int = 0
    claimed: list[str] = field(default_factory=list)
    enqueued: list[Waiting] = field(default_factory=list)
    paused: dict[Lane, bool] = field(default_factory=dict)


@dataclass
class Model:
    """The queue as it should be."""

    limits: dict[str, int]
    needs: dict[str, set[str]]
    waiting: dict[str, Waiting] = field(default_factory=dict)
    running: dict[str, Waiting] = field(default_factory=dict)
    completed: set[str] = field(default_factory=set)
    paused: set[Lane] = field(default_factory=set)
    ties: int = 0

    def best(self, most: int) -> list[str]:
        """The runs to claim: one after the other, each the best of those that may run then."""
        busy = Counter(run.bucket for run in self.running.values())
        ready = [run for run in self.waiting.values() if self._may_run(run)]
        chosen: list[str] = []
        while len(chosen) < most:
            free = [run for run in ready if busy[run.bucket] < self.limits.get(run.bucket, 0)]
            if not free:
                break
            ranks = {run.run_id: run.rank + SHARE * busy[run.bucket] for run in free}
            best = min(free, key=lambda run: (ranks[run.run_id], run.run_id))
            self.ties += list(ranks.values()).count(ranks[best.run_id]) > 1
            ready.remove(best)
            busy[best.bucket] += 1
            chosen.append(best.run_id)
        return chosen

    def replay(self, turn: Turn) -> list[str]:
        """Do what a turn did; returns what is wrong with it."""
        wrong = []
        for run_id, status in turn.ended:
            run = self.running.pop(run_id)
            if run.task_id and status is RunStatus.COMPLETED:
                self.completed.add(run.task_id)
        expected = self.best(turn.most)
        if sorted(expected) != sorted(turn.claimed):
            wrong.append(f"{turn.number}: {expected} and not {turn.claimed}")
        for run_id in turn.claimed:
            self.running[run_id] = self.waiting.pop(run_id)
        for run in turn.enqueued:
            self.waiting[run.run_id] = run
            self.completed.discard(run.task_id or "")
        for lane, is_paused in turn.paused.items():
            (self.paused.add if is_paused else self.paused.discard)(lane)
        busy = Counter(run.bucket for run in self.running.values())
        wrong += [f"{turn.number}: {bucket} is over its limit" for bucket in busy
                  if busy[bucket] > self.limits[bucket]]  # fmt: skip
        return wrong

    def _may_run(self, run: Waiting) -> bool:
        met = self.needs.get(run.task_id or "", set()) <= self.completed
        return run.is_due and run.lane not in self.paused and met


@dataclass
class World:
    """What is in the database, and what was done to it."""

    user: Actor
    to_claim: int = 0
    claimed: int = 0
    workers: list[str] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    numbers: Any = field(default_factory=itertools.count)
    tries: int = 0


async def check_claims(database_url: str, to_claim: int) -> None:
    """Let eight at once claim so many runs at least: every claim has to take exactly the best."""
    chance = random.Random(7)
    async with queues.opened(database_url, CLAIMERS + 1) as (mine, *theirs):
        world, first = await mine.write(laid_out, chance)
        world.to_claim = to_claim
        async with asyncio.timeout(600):
            await asyncio.gather(
                *(
                    claim_for_a_while(database, world, worker, random.Random(worker))
                    for database, worker in zip(theirs, world.workers, strict=True)
                ),
                pause_for_a_while(mine, world, chance),
            )
        needs = await needs_of(mine)

    model = Model(world.limits, needs)
    turns = [first, *sorted(world.turns, key=lambda turn: turn.number)]
    wrong = [problem for turn in turns for problem in model.replay(turn)]
    claimed = Counter(run_id for turn in turns for run_id in turn.claimed)
    assert [] == wrong
    assert 1 == max(claimed.values())
    assert len(world.turns) == world.tries, "a transaction was tried again: a deadlock"
    assert claimed.total() >= to_claim
    assert claimed.total() > len(world.turns) / 4, "most turns found nothing"
    assert model.ties, "no two were ever alike"


def laid_out(tx: Tx, chance: random.Random) -> tuple[World, Turn]:
    """Projects at their limits, an archived one, tasks that wait for others, a user's commands."""
    user = queues.add_user(tx, "user")
    world = World(user, limits={user.id: claims.MOST_RUNS_OF_A_USER})
    world.workers = [claims.enlist(tx, "host", "boot", number, 0, 4) for number in range(CLAIMERS)]
    turn = Turn(-1)
    for limit in LIMITS:
        project_id = queues.add_project(tx, user, limit)
        world.limits[project_id] = limit
        task_ids = queues.add_tasks(tx, user, project_id, TASKS_OF_A_PROJECT)
        turn.enqueued += [enqueued(tx, world, chance, project_id, id_) for id_ in task_ids]
        queues.add_dependencies(tx, list(itertools.pairwise(task_ids[:4])))
    archived = queues.add_project(tx, user, 5, ProjectStatus.ARCHIVED)
    for task_id in queues.add_tasks(tx, user, archived, 2):
        enqueued(tx, world, chance, archived, task_id)
    turn.enqueued += [enqueued(tx, world, chance) for _ in range(TASKS_OF_A_PROJECT)]
    later = turn.enqueued.pop()
    tx.execute(
        update(waiting).where(waiting.c.run_id == later.run_id).values(due_at=from_now(3600))
    )
    turn.enqueued.append(replace(later, is_due=False))
    return world, turn


async def claim_for_a_while(
    database: Database, world: World, worker: str, chance: random.Random
) -> None:
    held: list[Any] = []
    while world.claimed < world.to_claim:
        ending = chance.sample(held, chance.randint(0, len(held)))
        most = chance.randint(1, MOST_AT_ONCE)
        turn, claimed = await written(database, one_turn, world, worker, ending, most, chance)
        world.turns.append(turn)
        world.claimed += len(claimed)
        held = [run for run in held if run not in ending] + list(claimed)


def one_turn(
    tx: Tx, world: World, worker: str, ending: Sequence[Any], most: int, chance: random.Random
) -> tuple[Turn, Sequence[Any]]:
    """Finish, claim, and execute again what was finished: with the gate, so all of it in order."""
    world.tries += 1
    statuses = chance.choices([RunStatus.COMPLETED, RunStatus.FAILED], [3, 1], k=len(ending))
    reports = [
        Ended(run.id, run.fence, Outcome(status, 0))
        for run, status in zip(ending, statuses, strict=True)
    ]
    done = tx.enact(claims.turn(tx, worker, reports, most))
    turn = Turn(next(world.numbers), most=most, claimed=[run.id for run in done.claimed])
    turn.ended = [(report.run_id, report.outcome.status) for report in reports]
    assert {run.id for run in ending} == done.accepted
    turn.enqueued = [enqueued(tx, world, chance, run.project_id, run.task_id) for run in ending]
    return turn, done.claimed


async def pause_for_a_while(database: Database, world: World, chance: random.Random) -> None:
    """Pause and resume lanes meanwhile; in the end none is paused."""
    while world.claimed < world.to_claim:
        for paused in (True, False):
            for lane in chance.sample(list(Lane), 2):
                world.turns.append(await written(database, set_paused, world, lane, paused))
            await asyncio.sleep(chance.uniform(0, 0.05))


def set_paused(tx: Tx, world: World, lane: Lane, paused: bool) -> Turn:
    world.tries += 1
    tx.enact(claims.queue_up(tx))
    at = tx.now if paused else None
    tx.execute(update(lanes).where(lanes.c.name == lane).values(paused_at=at))
    return Turn(next(world.numbers), paused={lane: paused})


async def written(database: Database, unit: Any, *args: Any) -> Any:
    """What the unit returns; SQLite's lock is not fair, and may keep one out for long."""
    while True:
        try:
            return await database.write(unit, *args)
        except DatabaseUnavailable:
            continue


def enqueued(
    tx: Tx,
    world: World,
    chance: random.Random,
    project_id: str | None = None,
    task_id: str | None = None,
) -> Waiting:
    lane, rank = chance.choice(list(Lane)), chance.choice(RANKS)
    of = {"project_id": project_id, "task_id": task_id}
    run_id = queues.enqueue(tx, world.user, lane, rank, **of)
    return Waiting(run_id, project_id or world.user.id, lane, rank, task_id)


async def needs_of(database: Database) -> dict[str, set[str]]:
    needs = defaultdict(set)
    for row in await database.rows(select(task_dependencies)):
        needs[row.task_id].add(row.depends_on_task_id)
    assert needs.keys() <= {row.id for row in await database.rows(select(tasks.c.id))}
    return needs
