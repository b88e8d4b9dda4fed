"""How a server starts: with what it needs made once, or with one line that says why it can't."""

import asyncio
import socket
import stat
from pathlib import Path

import asyncpg
import psutil
import pytest
from typer.testing import CliRunner

from cli import command
from db.migrations import upgrade
from db.postgres import dsn
from tests.fixtures.program import launched, program
from tests.fixtures.server import PASSWORD
from tests.journeys.clients import GraphqlSocket

WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
MAKE_ADMINISTRATOR = """
    INSERT INTO users (id, username, password_hash, role, preferences, created_at, updated_at)
    VALUES (gen_random_uuid()::text, 'admin', '', 'admin', '{}', now(), now())
"""
MOST_SECONDS_TO_START = 5.0
"""Of the processor: about one where nothing else runs and everything is compiled."""


async def test_the_first_start_makes_what_a_server_needs_once(tmp_path: Path) -> None:
    secret = tmp_path / "data" / "jwt-secret"
    async with program(tmp_path, "", ADMIN_PASSWORD="") as first:
        worked = psutil.Process(first.process.pid).cpu_times()
        (greeting,) = [line for line in first.said if "password" in line]
        before = GraphqlSocket(first.url)
        await before.sign_in("admin", greeting.split()[-1])
    made = secret.read_text()
    async with program(tmp_path, "", ADMIN_PASSWORD="") as second:
        after = GraphqlSocket(second.url)
        after.token = before.token
        project = await after.create_project("A token of the first start is still good")

    assert worked.user + worked.system < MOST_SECONDS_TO_START
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


async def test_of_two_that_start_first_at_once_one_makes_the_administrator(
    postgres_url: str, tmp_path: Path
) -> None:
    rival, watcher = [await asyncpg.connect(dsn(postgres_url)) for _ in range(2)]

    async def start() -> int:
        async with program(tmp_path, postgres_url):
            count: int = await watcher.fetchval("SELECT count(*) FROM users")
        return count

    async with asyncio.timeout(30):
        async with rival.transaction():
            await rival.execute(MAKE_ADMINISTRATOR)
            starting = asyncio.create_task(start())
            while not await watcher.fetchval(WAITS):  # noqa: ASYNC110 - nobody tells it
                await asyncio.sleep(0.01)
        administrators = await starting
        await rival.close()
        await watcher.close()

    assert 1 == administrators


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("DATABASE_URL", "mysql://localhost/x", "must begin with sqlite:/// or postgresql://"),
        ("REDIS_URL", "http://127.0.0.1", "must begin with redis://"),
        ("JWT_SECRET", "short", "must be at least 32 bytes long"),
        ("WORKER_CONCURRENCY", "many", "integer"),
        ("PROCESS_BACKEND", "jail", "'namespace'"),
        ("LOG_LEVEL", "loud", "'debug'"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, words: str
) -> None:
    monkeypatch.setenv(setting, value)
    ended = CliRunner().invoke(command, ["serve"])

    assert 2 == ended.exit_code
    assert ended.stderr.startswith(f"The setting {setting} is wrong: ")
    assert words in ended.stderr
    assert 1 == ended.stderr.count("\n")


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("DATABASE_URL", "postgresql://127.0.0.1:1/x", "127.0.0.1"),
        ("DATABASE_URL", "sqlite:////proc/x.db", "unable to open database file"),
        ("REDIS_URL", "redis://127.0.0.1:1", "127.0.0.1:1"),
        ("DATA_DIR", "/proc/version", "/proc/version"),
    ],
)
async def test_what_cannot_be_reached_stops_the_start_with_one_clear_line(
    tmp_path: Path, setting: str, value: str, words: str
) -> None:
    process = await launched(tmp_path, 0, **{setting: value})
    said, _ = await process.communicate()
    line = said.decode()

    assert 2 == process.returncode
    assert line.startswith("The start failed: ")
    assert words in line
    assert 1 == line.count("\n")


async def test_a_port_that_is_taken_stops_the_start_with_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await launched(tmp_path, port)
        said, _ = await process.communicate()

    assert 2 == process.returncode
    assert f"Can't listen on 127.0.0.1:{port}: Address already in use\n" == said.decode()
