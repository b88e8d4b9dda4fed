"""pgqueuer in the benchmark, by its own asyncpg driver; run by the peers' environment."""

import asyncio
import json
import random
import sys
import time
from datetime import timedelta
from pathlib import Path

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

RECORD = Path(__file__).with_name("queue_record.sql").read_text()


async def main(url: str, what: str, jobs: int, concurrency: int) -> dict[str, float]:
    mine = AsyncpgDriver(await asyncpg.connect(url))
    pool = await asyncpg.create_pool(url, min_size=2, max_size=10)
    queries = Queries(mine)
    if not await queries.has_table("pgqueuer"):
        await queries.install()
    worker = PgQueuer(AsyncpgPoolDriver(pool))
    if what == "recorded":
        await pool.execute(RECORD)
    began: dict[int, float] = {}
    done = asyncio.Event()

    @worker.entrypoint("noop")
    async def noop(job: Job) -> None:
        number = int(job.payload or b"0")
        began[number] = time.perf_counter()
        if what == "recorded":
            await pool.execute("SELECT began($1)", number)
            await pool.execute("SELECT ended($1)", number)
        if len(began) == jobs:
            done.set()

    options = {"batch_size": min(concurrency, 10), "max_concurrent_tasks": concurrency}
    if what != "latency":
        for start in range(0, jobs, 500):
            numbers = range(start, min(start + 500, jobs))
            await queries.enqueue(
                ["noop"] * len(numbers), [str(n).encode() for n in numbers], [0] * len(numbers)
            )
        started = time.perf_counter()
        await worker.qm.run(mode=QueueExecutionMode.drain, **options)
        return {"per_second": jobs / (time.perf_counter() - started)}
    return await latency(worker, queries, jobs, options, began, done)


async def latency(
    worker: PgQueuer,
    queries: Queries,
    jobs: int,
    options: dict[str, int],
    began: dict[int, float],
    done: asyncio.Event,
) -> dict[str, float]:
    running = asyncio.create_task(worker.qm.run(dequeue_timeout=timedelta(seconds=1), **options))
    await asyncio.sleep(1)
    called = {}
    for number in range(jobs):
        await asyncio.sleep(random.uniform(0.02, 0.08))
        called[number] = time.perf_counter()
        await queries.enqueue("noop", str(number).encode())
    await done.wait()
    worker.shutdown.set()
    await running
    waits = sorted(began[number] - at for number, at in called.items())
    return {"p50_ms": 1000 * waits[jobs // 2], "p99_ms": 1000 * waits[jobs * 99 // 100]}


if __name__ == "__main__":
    url, what, jobs, concurrency = sys.argv[1:]
    print(json.dumps(uvloop.run(main(url, what, int(jobs), int(concurrency)))))
