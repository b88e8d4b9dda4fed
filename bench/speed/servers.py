"""Servers of the contenders: started, timed, and asked what they have taken."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from bench.speed.contenders import ROOT, Contender, environment
from tests.fixtures.processes import die_with_the_tests

START_SECONDS = 60
SERVERS_CORE = {0}


@dataclass
class Server:
    """A contender that listens."""

    contender: Contender
    database: str
    port: int
    process: psutil.Process
    started_in: float
    idle_bytes: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)


@contextmanager
def serving(contender: Contender, database: str, url: str, directory: str) -> Iterator[Server]:
    """A server of its own process, on one core, as long as the block lasts."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        contender.command(port),
        cwd=ROOT,
        env=environment(url, directory),
        stdout=subprocess.DEVNULL,
        preexec_fn=alone,  # noqa: PLW1509 (nothing else runs in this process)
    )
    try:
        until_ready(process, port)
        started_in = time.perf_counter() - began
        time.sleep(0.5)
        known = psutil.Process(process.pid)
        yield Server(contender, database, port, known, started_in, known.memory_info().rss)
    finally:
        process.terminate()
        process.wait(timeout=30)


def answer(server: Server, request: bytes) -> Any:
    """The whole answer to one request."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
        found = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    head, _, body = found.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 2"):
        raise AssertionError(f"{server.contender.name}: {found.decode()}")
    return body


def cpu_seconds(pid: int) -> float:
    """What a process has taken so far, all of its threads, to the nanosecond."""
    # clock_getcpuclockid(3), which Python lacks, makes this of a process; psutil counts in ticks
    # of ten milliseconds.
    return time.clock_gettime((~pid << 3) | 2)


def alone() -> None:
    """Take the servers' core, and end when this process does."""
    die_with_the_tests()
    if len(os.sched_getaffinity(0) | SERVERS_CORE) > 1:
        os.sched_setaffinity(0, SERVERS_CORE)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Return as soon as it answers anything by HTTP."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing").close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None:
                raise
            time.sleep(0.005)
        else:
            return
    raise TimeoutError(str(process.args))
