"""Who is measured: how each is started, and how each is asked the same things."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt

from bench.speed.seed import created_at, id_of
from db.listing import Order
from db.tasks import LISTING

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PEERS = str(ROOT / "bench" / ".venv-speed" / "bin" / "python")
NODE = str(HERE / "node_modules" / ".bin" / "node")
KEY = "what tokens of the benchmark are signed with"
CACHES = {"PYTHONPYCACHEPREFIX": "/tmp/claude-cli-api-bench"}  # noqa: S108 - only bytecode

SCALARS = """id title description status priority {progress} tags metadata
  createdAt updatedAt startedAt completedAt""".format
RELATED = "project { id name } assignee { id username }"
TOLD = "history { id timestamp kind userId } dependencies { task { title status } }"
OURS = SCALARS(progress="progressPercentage")
THEIRS = OURS.replace("id ", "id: rowId ", 1)
THEIR_RELATED = """project: projectByProjectId { id: rowId name }
  assignee: userByAssignedTo { id: rowId username }"""
THEIR_TOLD = """
  history: eventsByTaskId(orderBy: PRIMARY_KEY_ASC) {
    nodes { id: rowId timestamp: at kind userId: actorId }
  }
  dependencies: taskDependenciesByTaskId(orderBy: PRIMARY_KEY_ASC) {
    nodes { task: taskByDependsOnTaskId { title status } }
  }"""

Ask = Callable[["Place"], bytes]


@dataclass(frozen=True)
class Place:
    """A task of the record, and how many there are in it."""

    number: int
    cursor: str = ""
    """What PostGraphile calls the place."""

    @property
    def id(self) -> str:
        return id_of("tasks", self.number)

    @property
    def at(self) -> str:
        return created_at(self.number).isoformat().replace("+00:00", "Z")

    @property
    def after(self) -> str:
        return LISTING.cursor(Order("created_at"), created_at(self.number), self.id)

    @property
    def page(self) -> int:
        """A numbered page, of the first fifty."""
        return 1 + self.number % 50


@dataclass(frozen=True)
class Contender:
    """A server: its command for a port, and its requests by the names of what is measured."""

    name: str
    command: Callable[[int], list[str]]
    asks: Mapping[str, Ask]
    databases: tuple[str, ...] = ("PostgreSQL", "SQLite")


def environment(url: str, directory: str) -> dict[str, str]:
    """What every server is told: where the record is, and how tokens are signed."""
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **CACHES,
        "DATABASE_URL": url,
        "JWT_SECRET": KEY,
        "DATA_DIR": directory,
        "ADMIN_PASSWORD": "not asked for",
        "RATE_LIMIT_ENABLED": "false",
        "LOG_LEVEL": "warning",
        "NODE_ENV": "production",
        "GRAPHILE_ENV": "production",
    }


def get(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {_TOKEN}\r\n\r\n"
    ).encode()


def post(path: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {_TOKEN}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def graphql(query: str, variables: Callable[[Place], dict[str, Any]]) -> Ask:
    return lambda place: post("/graphql", {"query": query, "variables": variables(place)})


def _token() -> str:
    now = int(time.time())
    claims = {"sub": id_of("users", 0), "iat": now, "exp": now + 86_400, "jti": "bench", "tv": 1}
    return jwt.encode(claims | {"typ": "access"}, KEY, "HS256")


def _uvicorn(python: str, module: str) -> Callable[[int], list[str]]:
    def command(port: int) -> list[str]:
        return [
            *(python, "-m", "uvicorn", f"bench.speed.{module}:app", "--port", str(port)),
            *("--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning", "--no-proxy-headers"),
        ]

    return command


def _new_task(project: int) -> dict[str, Any]:
    return {
        "projectId": id_of("projects", project),
        "title": "Mend what is broken",
        "description": "Find out why it breaks, and mend it.",
        "priority": 5,
        "metadata": {"command": "make test"},
    }


def _creating(project: int) -> Ask:
    return graphql(
        f"mutation M1($input: CreateTaskInput!) {{ createTask(input: $input) {{ {OURS} }} }}",
        lambda _: {"input": _new_task(project)},
    )


def _after(place: Place) -> dict[str, Any]:
    return {"after": place.after}


def _listed(selection: str) -> str:
    return f"""query Listed($after: String) {{
      tasks(first: 50, after: $after) {{ nodes {{ {selection} }} }}
    }}"""


def _plainly_listed(selection: str) -> str:
    return f"""query Listed($at: DateTime!, $id: ID!) {{
      tasks(first: 50, at: $at, id: $id) {{ nodes {{ {selection} }} }}
    }}"""


def _listed_theirs(selection: str) -> str:
    return f"""query Listed($after: Cursor) {{
      tasks: allTasks(first: 50, after: $after, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) {{
        nodes {{ {selection} }}
      }}
    }}"""


def _by_place(path: str) -> Ask:
    return lambda place: get(f"{path}?at={quote(place.at)}&id={place.id}")


def _page(place: Place) -> bytes:
    return get(f"/api/tasks/?page={place.page}&page_size=50")


def _details(place: Place) -> bytes:
    return get(f"/api/tasks/{place.id}")


_TOKEN = _token()
_ONE = f"query One($id: ID!) {{ task(id: $id) {{ {OURS} }} }}"
_ONE_THEIRS = f"query One($id: String!) {{ task: taskByRowId(rowId: $id) {{ {THEIRS} }} }}"

CURSORS = """query ($first: Int!) {
  allTasks(first: $first, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) { edges { cursor } }
}"""
LIMIT = "hand-written"
US = "claude-cli-api"
POSTGRAPHILE = "PostGraphile 5"
FASTAPI = "FastAPI + SQLAlchemy ORM"
STRAWBERRY = "Strawberry, plain"

CONTENDERS = (
    Contender(
        LIMIT,
        _uvicorn(sys.executable, "handwritten"),
        {
            "Q1": _by_place("/q1"),
            "Q2": _by_place("/q2"),
            "Q3": lambda place: get(f"/q3/{place.id}"),
            "R1": _page,
            "R2": _details,
            "M1": lambda _: post("/m1", _new_task(0)),
        },
    ),
    Contender(
        US,
        lambda port: [
            str(Path(sys.executable).with_name("claude-cli-api")), "serve", "--port", str(port)
        ],
        {
            "Q1": graphql(_listed(f"{OURS} {RELATED}"), _after),
            "Q2": graphql(_listed(f"{OURS} {RELATED} {TOLD}"), _after),
            "Q3": graphql(_ONE, lambda place: {"id": place.id}),
            "R1": _page,
            "R2": _details,
            "M1": _creating(1),
        },
    ),
    Contender(
        POSTGRAPHILE,
        lambda port: [NODE, str(HERE / "postgraphile.mjs"), str(port)],
        {
            "Q1": graphql(_listed_theirs(f"{THEIRS} {THEIR_RELATED}"),
                           lambda place: {"after": place.cursor}),
            "Q2": graphql(_listed_theirs(f"{THEIRS} {THEIR_RELATED} {THEIR_TOLD}"),
                           lambda place: {"after": place.cursor}),
            "Q3": graphql(_ONE_THEIRS, lambda place: {"id": place.id}),
        },
        ("PostgreSQL",),
    ),
    Contender(
        FASTAPI,
        _uvicorn(PEERS, "fastapi_orm"),
        {
            "Q1": _by_place("/q1"),
            "Q2": _by_place("/q2"),
            "Q3": lambda place: get(f"/q3/{place.id}"),
            "M1": lambda _: post("/m1", _new_task(2)),
        },
    ),
    Contender(
        STRAWBERRY,
        _uvicorn(PEERS, "plain_strawberry"),
        {
            "Q1": graphql(_plainly_listed(f"{OURS} {RELATED}"),
                           lambda place: {"at": place.at, "id": place.id}),
            "Q2": graphql(_plainly_listed(f"{OURS} {RELATED} {TOLD}"),
                           lambda place: {"at": place.at, "id": place.id}),
            "Q3": graphql(_ONE, lambda place: {"id": place.id}),
            "M1": _creating(3),
        },
    ),
)  # fmt: skip
