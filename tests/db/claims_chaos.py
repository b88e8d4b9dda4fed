"""Workers that freeze, rescues, and users who cancel, clear, pause and reorder, all at once."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import exists, func, or_, select

from db import claims, lifecycle, output, tasks
from db import queues as lanes
from db.actors import Actor
from db.engine import Database, Tx
from db.errors import Problem
from db.lifecycle import Begun, Ended, Outcome, Released, Report
from db.output import Chunk
from db.tables import events, leases, runs, waiting
from db.tables import tasks as tasks_table
from db.types import Lane, RunStatus, Stream
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
    stale: list[str] = field(default_factory=list)
    finishes: Counter[tuple[str, int]] = field(default_factory=Counter)
    accepted: Counter[type] = field(default_factory=Counter)
    refused: Counter[type] = field(default_factory=Counter)
    is_over: bool = False

    @property
    def has_shown_enough(self) -> bool:
        """Whether runs came to their end, and some whose worker was too late."""
        late = self.refused[Ended] + self.refused[Released]
        return min(self.accepted[Ended], late, self.accepted[Chunk], self.refused[Chunk]) > 2


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
        astray = await mine.rows(_ASTRAY)

    of_runs = defaultdict(list)
    for event in told:
        of_runs[event.run_id].append(event.kind.partition(".")[2])
    assert [] == [words for words in of_runs.values() if not is_allowed(words)]
    assert chaos.accepted[Begun] == sum(words.count("started") for words in of_runs.values())
    assert [] == chaos.over_limit
    assert [] == chaos.stale
    assert 1 == max(chaos.finishes.values())
    assert [] == left
    assert [] == astray


_IS_ACTIVE = exists().where(
    tasks_table.c.id == runs.c.task_id, tasks_table.c.active_run_id == runs.c.id
)
# Runs that the queue goes by wrongly: each is queued, held and its task's one as its status says.
_ASTRAY = select(runs).where(
    or_(
        (runs.c.status == "queued") != exists().where(waiting.c.run_id == runs.c.id),
        (runs.c.status == "running") != exists().where(leases.c.run_id == runs.c.id),
        runs.c.task_id.is_not(None) & (runs.c.finished_at.is_(None) != _IS_ACTIVE),
    )
)


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
    last_seqs: dict[str, int] = {}
    while not chaos.is_over:
        _, claimed = await turn(database, chaos, worker, [], chance.randint(1, 3))
        last_seqs |= {run.id: run.last_seq for run in claimed}
        # What it had lost without knowing may come back to it.
        begun = [run for run in begun if run.id not in {again.id for again in claimed}]
        await freeze(chance)
        starts = [Begun(run.id, run.fence, "boot", 1, 1) for run in claimed]
        accepted, _ = await turn(database, chaos, worker, starts, 0)
        begun += [run for run in claimed if run.id in accepted]
        await freeze(chance)
        for run in begun:
            last_seqs[run.id] = await printed(database, chaos, run, last_seqs[run.id])
        if chance.random() < 0.5:
            await database.write(claims.beat, worker, [run.id for run in begun])
        ending = chance.sample(begun, chance.randint(0, len(begun)))
        ends = [end_of(run, last_seqs[run.id], chance) for run in ending]
        await turn(database, chaos, worker, ends, 0)
        begun = [run for run in begun if run not in ending]


async def freeze(chance: random.Random) -> None:
    await asyncio.sleep(FREEZE_SECONDS if chance.random() < 0.2 else 0)


def is_end(report: Report) -> bool:
    return not isinstance(report, Begun)


def end_of(run: Any, last_seq: int, chance: random.Random) -> Report:
    status = chance.choice([RunStatus.COMPLETED, RunStatus.FAILED, None])
    if status is None:
        return Released(run.id, run.fence)
    return Ended(run.id, run.fence, Outcome(status, 0, last_seq=last_seq))


async def turn(
    database: Database, chaos: Chaos, worker: str, reports: list[Any], most: int
) -> tuple[set[str], Any]:
    def unit(tx: Tx) -> claims.Turn:
        done = tx.enact(claims.turn(tx, worker, reports, most))
        # The end of an attempt raises the fence by one.
        fences = {report.run_id: report.fence + is_end(report) for report in reports}
        chaos.stale += stale(tx, {run_id: fences[run_id] for run_id in done.accepted})
        if most:
            busy = select(runs.c.project_id, func.count().label("running")).group_by("project_id")
            for row in tx.all(busy.where(runs.c.status == RunStatus.RUNNING)):
                if row.running > chaos.limits[row.project_id]:
                    chaos.over_limit.append(row.project_id)
        return done

    done = await database.write(unit)
    for report in reports:
        is_accepted = report.run_id in done.accepted
        (chaos.accepted if is_accepted else chaos.refused)[type(report)] += 1
        if is_accepted and is_end(report):
            chaos.finishes[report.run_id, report.fence] += 1
    return done.accepted, done.claimed


async def printed(database: Database, chaos: Chaos, run: Any, last_seq: int) -> int:
    """Add to a run's output, unless it is somebody else's by now; the number of its last chunk."""

    def unit(tx: Tx) -> bool:
        chunk = Chunk(last_seq + 1, Stream.STDOUT, b"x", tx.now)
        is_added = output.append(tx, run.id, run.fence, 0, [chunk])
        if is_added:
            chaos.stale += stale(tx, {run.id: run.fence})
        return is_added

    is_added = await database.write(unit)
    (chaos.accepted if is_added else chaos.refused)[Chunk] += 1
    return last_seq + is_added


def stale(tx: Tx, fences: Mapping[str, int]) -> list[str]:
    """The runs whose fence is another than it should be after what was accepted of them."""
    now = tx.all(select(runs.c.id, runs.c.fence).where(runs.c.id.in_(fences)))
    return [run.id for run in now if run.fence != fences[run.id]]


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
