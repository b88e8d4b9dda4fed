"""What a request costs besides its answer: our HTTP protocol beside uvicorn's own.

`python -m bench.speed.protocol` has both serve an application that reads and answers, turn by turn,
and prints the medians of the servers' CPU time.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from bench.speed.load import Bound, asked
from bench.speed.servers import alone, cpu_seconds, free_port, until_ready
from graph.http import Request
from graph.protocol import HttpProtocol

ROUNDS = 15
SECONDS = 0.5
CONNECTIONS = 8
ANSWER = b"x" * 300
REQUEST = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200\r\n\r\n" + b"q" * 200


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    await request.body()
    await request.respond(send, 200, b"application/json", (), ANSWER)


def serve(whose: str, port: int) -> None:
    """Serve until told to end."""
    uvicorn.run(
        app,
        port=port,
        loop="uvloop",
        http=HttpProtocol if whose == "ours" else "httptools",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_level="warning",
    )


def measure() -> None:
    if others := os.sched_getaffinity(0) - {0}:
        os.sched_setaffinity(0, others)
    found: dict[str, list[float]] = {"uvicorn's": [], "ours": []}
    with ExitStack() as stack:
        servers = {whose: stack.enter_context(_server(whose)) for whose in found}
        for number in range(ROUNDS):
            for whose in [*found][:: -1 if number % 2 else 1]:
                found[whose].append(_spent(*servers[whose]))
    for whose, spent in found.items():
        print(f"{whose}: {statistics.median(spent):.1f} us, the least {min(spent):.1f}")


@contextmanager
def _server(whose: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.speed.protocol", whose, str(port)],
        preexec_fn=alone,  # noqa: PLW1509 (nothing else runs in this process)
    )
    try:
        until_ready(process, port)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def _spent(pid: int, port: int) -> float:
    """Microseconds of CPU that a request took."""
    before = cpu_seconds(pid)
    took = uvloop.run(asked(port, [REQUEST], CONNECTIONS, Bound(seconds=SECONDS)))
    return 1e6 * (cpu_seconds(pid) - before) / len(took)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1], int(sys.argv[2]))
    else:
        measure()
