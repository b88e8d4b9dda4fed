"""All that /openapi.json describes, asked for at random: no crash, no answer but those described.

`FUZZ` says how many cases of each operation are made up, besides those that cover its schema.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.drills.aftermath import NOTHING, left_behind
from tests.fixtures.program import program
from tests.fixtures.server import NO_TLS, PASSWORD

ROOT = Path(__file__).parents[2]
HOOKS = "tests.drills.fuzz_hooks"
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "negative_data_rejection",
)
EACH = os.environ.get("FUZZ", "4")
FEWEST_CASES = 2000
MOST_SECONDS = 1800


@pytest.mark.timeout(MOST_SECONDS)
async def test_nothing_is_answered_that_is_not_described(database_url: str, tmp_path: Path) -> None:
    # Commands that are made up here shall find nothing to run.
    async with program(tmp_path, database_url, PATH=str(tmp_path / "nothing")) as server:
        report = await fuzzed(server.url, await token(server.url), tmp_path)

    cases = report["test_cases"]
    assert report["operations"]["total"] == report["operations"]["tested"]
    assert cases["generated"] > FEWEST_CASES
    assert [] == [line for line in server.said if "Traceback" in line]
    # Lanes may be paused by then, with runs in them.
    assert NOTHING == await left_behind(database_url) | {"without a final state": []}


async def token(url: str) -> str:
    credentials = {"username": "admin", "password": PASSWORD}
    async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=NO_TLS) as client:
        response = await client.post("/api/auth/login", json=credentials)
    return str(response.json()["data"]["access_token"])


async def fuzzed(url: str, token: str, directory: Path) -> dict[str, Any]:
    """The report of a run in which nothing was found; what was found fails the test."""
    report = directory / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(SCHEMATHESIS, "run", f"{url}/openapi.json", "--no-color", "--continue-on-failure"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", EACH),
        *("--generation-database", "none"),
        *("--warnings", "off"),
        *("--report", "json", "--report-json-path", str(report)),
        cwd=directory,
        env=os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    said, _ = await process.communicate()

    assert 0 == process.returncode, said.decode()
    found: dict[str, Any] = json.loads(report.read_text())
    return found
