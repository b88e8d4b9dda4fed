"""procrastinate in the benchmark, by its own psycopg pool; run by the peers' environment."""

import asyncio
import json
import random
import sys
import time
from pathlib import Path

import procrastinate
import uvloop

RECORD = Path(__file__).with_name("queue_record.sql").read_text()


async def main(url: str, what: str, jobs: int, concurrency: int) -> dict[str, float]:
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=2, max_size=10)
    queue = procrastinate.App(connector=connector)
    began: dict[int, float] = {}
    done = asyncio.Event()

    @queue.task(name="noop")
    async def noop(number: int) -> None:
        began[number] = time.perf_counter()
        if what == "recorded":
            await connector.execute_query_async("SELECT began(%(number)s)", number=number)
            await connector.execute_query_async("SELECT ended(%(number)s)", number=number)
        if len(began) == jobs:
            done.set()

    async with queue.open_async():
        if not await queue.check_connection_async():
            await queue.schema_manager.apply_schema_async()
        if what == "recorded":
            await connector.execute_query_async(RECORD)
        if what != "latency":
            await noop.batch_defer_async(*({"number": number} for number in range(jobs)))
            started = time.perf_counter()
            await queue.run_worker_async(
                concurrency=concurrency, wait=False, install_signal_handlers=False
            )
            return {"per_second": jobs / (time.perf_counter() - started)}
        running = asyncio.create_task(
            queue.run_worker_async(concurrency=concurrency, install_signal_handlers=False)
        )
        await asyncio.sleep(1)
        called = {}
        for number in range(jobs):
            await asyncio.sleep(random.uniform(0.02, 0.08))
            called[number] = time.perf_counter()
            await noop.defer_async(number=number)
        await done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    waits = sorted(began[number] - at for number, at in called.items())
    return {"p50_ms": 1000 * waits[jobs // 2], "p99_ms": 1000 * waits[jobs * 99 // 100]}


if __name__ == "__main__":
    url, what, jobs, concurrency = sys.argv[1:]
    print(json.dumps(uvloop.run(main(url, what, int(jobs), int(concurrency)))))
