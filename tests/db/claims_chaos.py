"""Workers that freeze, rescues, and users who cancel, clear, pause and reorder, all at once."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import func, select

from db import claims, lifecycle, tasks
from db import queues as lanes
from db.actors import Actor
from db.engine import Database, Tx
from db.errors import Problem
from db.lifecycle import Begun, Ended, Outcome, Released, Report
from db.tables import events, runs
from db.types import Lane, RunStatus
from tests.db import queues

CLAIMERS = 8
LIMITS = (1, 2, 3, 4)
TASKS_OF_A_PROJECT = 40
LEASE_SECONDS = 0.15
FREEZE_SECONDS = 0.3
FINAL = ("completed", "failed", "cancelled")
ALLOWED = {
    "new": {"queued": "waits"},
    "waits": {
        "prioritized": "waits",
        "released": "waits",
        "cancel_asked": "waits",
        "started": "runs",
        "cancelled": "over",
    },
    "runs": {
        "cancel_asked": "runs",
        "retrying": "waits",
        "released": "waits",
        **dict.fromkeys(FINAL, "over"),
    },
    "over": {},
}
"""What may be told of a run in which state, and the state it is in then."""


@dataclass
class Chaos:
    """What the claimers and the users of one test share."""

    user: Actor
    limits: dict[str, int] = field(default_factory=dict)
    task_ids: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    over_limit: list[str] = field(default_factory=list)
    accepted: Counter[type] = field(default_factory=Counter)
    refused: Counter[type] = field(default_factory=Counter)
    is_over: bool = False

    @property
    def has_shown_enough(self) -> bool:
        """Whether runs came to their end, and some whose worker was too late."""
        return min(self.accepted[Ended], self.refused[Ended] + self.refused[Released]) > 2


async def check_in_chaos(
    database_url: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let everybody do as they like for a while: nothing may be run twice, or be lost."""
    monkeypatch.setattr(claims, "LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(lifecycle, "RETRY_DELAY_SECONDS", 0.02)
    async with queues.opened(database_url, CLAIMERS + 2) as (mine, other, *theirs):
        chaos = await mine.write(laid_out)
        async with asyncio.timeout(seconds + 60):
            await asyncio.gather(
                *(
                    work(database, chaos, worker, random.Random(worker))
                    for database, worker in zip(theirs, chaos.workers, strict=True)
                ),
                execute_and_cancel(mine, chaos, random.Random(1)),
                pause_clear_and_reorder(other, chaos, random.Random(2)),
                rescue(other, chaos),
                end(chaos, seconds),
            )
        await asyncio.sleep(LEASE_SECONDS)
        while await mine.write(claims.rescue_expired):
            pass
        told = await mine.rows(select(events).where(events.c.run_id.is_not(None)).order_by("seq"))
        left = await mine.rows(select(runs).where(runs.c.status == RunStatus.RUNNING))

    of_runs = defaultdict(list)
    for event in told:
        of_runs[event.run_id].append(event.kind.partition(".")[2])
    assert [] == [words for words in of_runs.values() if not is_allowed(words)]
    assert chaos.accepted[Begun] == sum(words.count("started") for words in of_runs.values())
    assert [] == chaos.over_limit
    assert [] == left


def is_allowed(words: Iterable[str]) -> bool:
    """Whether a run may have gone through this."""
    state = "new"
    for word in words:
        if word not in ALLOWED[state]:
            return False
        state = ALLOWED[state][word]
    return True


def laid_out(tx: Tx) -> Chaos:
    chaos = Chaos(queues.add_user(tx, "user"))
    chaos.workers = [claims.enlist(tx, "host", "boot", number, 0, 4) for number in range(CLAIMERS)]
    for limit in LIMITS:
        project_id = queues.add_project(tx, chaos.user, limit)
        chaos.limits[project_id] = limit
        chaos.task_ids += queues.add_tasks(tx, chaos.user, project_id, TASKS_OF_A_PROJECT)
    return chaos


async def end(chaos: Chaos, seconds: float) -> None:
    await asyncio.sleep(seconds)
    while not chaos.has_shown_enough:  # noqa: ASYNC110 - as many as there are, they all say it
        await asyncio.sleep(0.1)
    chaos.is_over = True


async def work(database: Database, chaos: Chaos, worker: str, chance: random.Random) -> None:
    """Claim, begin and end runs; now and then freeze for longer than the lease lasts."""
    begun: list[Any] = []
    while not chaos.is_over:
        _, claimed = await turn(database, chaos, worker, [], chance.randint(1, 3))
        await freeze(chance)
        starts = [Begun(run.id, run.fence, "boot", 1, 1) for run in claimed]
        accepted, _ = await turn(database, chaos, worker, starts, 0)
        begun += [run for run in claimed if run.id in accepted]
        await freeze(chance)
        if chance.random() < 0.5:
            await database.write(claims.beat, worker, [run.id for run in begun])
        ending = chance.sample(begun, chance.randint(0, len(begun)))
        await turn(database, chaos, worker, [end_of(run, chance) for run in ending], 0)
        begun = [run for run in begun if run not in ending]


async def freeze(chance: random.Random) -> None:
    await asyncio.sleep(FREEZE_SECONDS if chance.random() < 0.2 else 0)


def end_of(run: Any, chance: random.Random) -> Report:
    status = chance.choice([RunStatus.COMPLETED, RunStatus.FAILED, None])
    if status is None:
        return Released(run.id, run.fence)
    return Ended(run.id, run.fence, Outcome(status, 0))


async def turn(
    database: Database, chaos: Chaos, worker: str, reports: list[Any], most: int
) -> tuple[set[str], Any]:
    def unit(tx: Tx) -> claims.Turn:
        done = claims.turn(tx, worker, reports, most)
        if most:
            busy = select(runs.c.project_id, func.count().label("running")).group_by("project_id")
            for row in tx.all(busy.where(lifecycle.IS_RUNNING)):
                if row.running > chaos.limits[row.project_id]:
                    chaos.over_limit.append(row.project_id)
        return done

    done = await database.write(unit)
    for report in reports:
        is_accepted = report.run_id in done.accepted
        (chaos.accepted if is_accepted else chaos.refused)[type(report)] += 1
    return done.accepted, done.claimed


async def execute_and_cancel(database: Database, chaos: Chaos, chance: random.Random) -> None:
    while not chaos.is_over:
        chosen = chance.choice(chaos.task_ids)
        lane = chance.choice(list(Lane))
        try:
            if chance.random() < 0.7:
                options = {"retry_attempts": 2}
                await database.write(tasks.execute, chaos.user, chosen, lane, options)
            else:
                await database.write(tasks.cancel, chaos.user, chosen)
        except Problem:
            pass


async def pause_clear_and_reorder(database: Database, chaos: Chaos, chance: random.Random) -> None:
    while not chaos.is_over:
        lane = chance.choice(list(Lane))
        await database.write(lanes.pause, chaos.user, lane)
        some = chance.sample(chaos.task_ids, 30)
        await database.write(lanes.prioritise, chaos.user, some, lane)
        await database.write(lanes.resume, chaos.user, lane)
        if chance.random() < 0.1:
            await database.write(lanes.clear, chaos.user, lane, confirm=True)
        await asyncio.sleep(0.02)


async def rescue(database: Database, chaos: Chaos) -> None:
    while not chaos.is_over:
        await database.write(claims.rescue_expired)
        await asyncio.sleep(0.05)
