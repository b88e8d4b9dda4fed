"""How a server starts: quickly, with what it needs made once, or with one line that says why not."""

import asyncio
import socket
import stat
import time
from pathlib import Path

import pytest

from db.migrations import upgrade
from tests.fixtures.program import PATIENCE_SECONDS, launched, program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import GraphqlSocket

LONGEST_START_SECONDS = 5
"""On a busy machine; about one on an idle one."""


async def test_the_first_start_makes_what_a_server_needs_once(tmp_path: Path) -> None:
    secret = tmp_path / "data" / "jwt-secret"
    begin = time.monotonic()
    async with program(tmp_path, "", ADMIN_PASSWORD="") as first:
        took = time.monotonic() - begin
        (greeting,) = [line for line in first.said if "password" in line]
        before = GraphqlSocket(first.url)
        await before.sign_in("admin", greeting.split()[-1])
    made = secret.read_text()
    async with program(tmp_path, "", ADMIN_PASSWORD="") as second:
        after = GraphqlSocket(second.url)
        after.token = before.token
        project = await after.create_project("A token of the first start is still good")

    assert took < LONGEST_START_SECONDS
    assert [] == [line for line in second.said if "password" in line]
    assert 0o600 == stat.S_IMODE(secret.stat().st_mode)
    assert made == secret.read_text()
    assert project


async def test_the_first_start_on_a_migrated_database_makes_the_administrator(
    empty_database_url: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(upgrade, empty_database_url)
    async with program(tmp_path, empty_database_url) as server:
        user = GraphqlSocket(server.url)
        await user.sign_in("admin", PASSWORD)

    assert user.token


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("DATABASE_URL", "mysql://localhost/x", "must begin with sqlite:/// or postgresql://"),
        ("DATABASE_URL", "postgresql://127.0.0.1:1/x", "127.0.0.1"),
        ("DATABASE_URL", "sqlite:////proc/x.db", "unable to open database file"),
        ("REDIS_URL", "http://127.0.0.1", "must begin with redis://"),
        ("REDIS_URL", "redis://127.0.0.1:1", "127.0.0.1:1"),
        ("JWT_SECRET", "short", "must be at least 32 bytes long"),
        ("DATA_DIR", "/proc/version", "/proc/version"),
        ("WORKER_CONCURRENCY", "many", "integer"),
        ("PROCESS_BACKEND", "jail", "'namespace'"),
        ("LOG_LEVEL", "loud", "'debug'"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_one_clear_line(
    tmp_path: Path, setting: str, value: str, words: str
) -> None:
    process = await launched(tmp_path, **{setting: value})
    said, _ = await process.communicate()
    line = said.decode()

    assert 2 == process.returncode
    assert 1 == line.count("\n"), line
    assert words in line
    assert f"The setting {setting} is wrong" in line or "The start failed" in line


async def test_a_port_that_is_taken_stops_the_start_with_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await launched(tmp_path, port=port)
        said, _ = await process.communicate()

    assert 2 == process.returncode
    assert f"Can't listen on 127.0.0.1:{port}: Address already in use\n" == said.decode()
