"""What is followed: for as long as the actor may see it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, true

from db.engine import Tx
from db.errors import ProjectNotFound, ResourceNotFound
from db.tables import agent_events, members
from db.tables import events as log
from db.types import Role
from graph import agent_events as agents
from graph import stream
from graph.auth import Caller
from graph.context import Context
from graph.services import Services
from tests.fixtures.databases import Maker
from tests.fixtures.members import ADD_MEMBER, REMOVE_MEMBER
from tests.fixtures.server import Served
from tests.graph.executors import recorded
from tests.graph.test_socket import answer_to, code_of, hear, init, subscribe, talk
from tests.graph.world import MEMBER, ROWS, at, id_of

CREATE_PROJECT = """mutation { createProject(input: {name: "P"}) { id } }"""
CREATE_TASK = """mutation ($project: ID!) {
  createTask(input: {projectId: $project, title: "T"}) { id }
}"""
EXECUTE = """mutation ($project: ID!, $command: String!) {
  executeCommand(input: {projectId: $project, command: $command}) { id }
}"""
FOLLOWED = {
    """projectUpdates(projectId: "{project}")""": "PROJECT_NOT_FOUND",
    """taskUpdates(projectId: "{project}", after: "0-0")""": "PROJECT_NOT_FOUND",
    """taskUpdates(taskId: "{task}", after: "0-0")""": "TASK_NOT_FOUND",
    """commandOutput(runId: "{run}")""": "RESOURCE_NOT_FOUND",
    """agentEvents(runId: "{run}")""": "RESOURCE_NOT_FOUND",
}
"""What may be followed, and what is said once it is out of sight."""
RUN = id_of("run", 3)
PROJECT = id_of("project", 2)


@pytest.fixture
def server(shared_server: Served) -> Served:
    return shared_server


@pytest.fixture
async def services(make_database: Maker, tmp_path: Path) -> AsyncIterator[Services]:
    async with recorded(make_database, tmp_path) as found:
        yield found


@pytest.mark.parametrize(("field", "code"), FOLLOWED.items())
@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.ADMIN])
async def test_it_ends_for_who_may_not_see_it_any_more(
    server: Served,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    field: str,
    code: str,
    role: Role,
) -> None:
    """A member who is shown out, or an administrator who is none any more and no member."""
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(agents, "POLL_SECONDS", 0.05)
    name = await server.newcomer(role)
    gate = tmp_path / "gate"
    project = (await server.data(CREATE_PROJECT))["createProject"]["id"]
    words = {"project": project, "user": server.user_ids[name]}
    if role is not Role.ADMIN:
        await server.data(ADD_MEMBER, **words)
    command = f"until [ -e {gate} ]; do echo begun; sleep 0.05; done; echo secret"
    run = (await server.data(EXECUTE, project=project, command=command))["executeCommand"]["id"]
    task = (await server.data(CREATE_TASK, project=project))["createTask"]["id"]
    await server.app.services.database.write(tell, run, 1)
    followed = field.format(project=project, task=task, run=run)
    query = f"subscription {{ {followed} {{ __typename }} }}"
    async with talk(server, init(server, name), subscribe(query)) as socket:
        await hear(socket)
        first = await hear(socket)
        if role is Role.ADMIN:
            await server.change_user(name, role="DEVELOPER")
        else:
            await server.data(REMOVE_MEMBER, **words)
        while "errors" not in (heard := await hear(socket))["payload"]:
            pass
        last = await hear(socket)
    gate.touch()

    assert first["payload"]["data"]
    assert code == code_of(heard["payload"]["errors"])
    assert "complete" == last["type"]


async def test_all_that_one_may_see_is_less_for_who_is_no_administrator_any_more(
    server: Served,
) -> None:
    name = await server.newcomer(Role.ADMIN)
    query = "subscription { taskUpdates { ... on TaskUpdate { task { id } } } }"
    theirs = (await server.data(CREATE_PROJECT, name))["createProject"]["id"]
    other = (await server.data(CREATE_PROJECT))["createProject"]["id"]
    async with talk(server, init(server, name), subscribe(query)) as socket:
        await hear(socket)
        await server.change_user(name, role="DEVELOPER")
        # What is asked next says that the socket knows.
        await answer_to(socket, "{ viewer { id } }")
        await server.data(CREATE_TASK, project=other)
        seen = (await server.data(CREATE_TASK, project=theirs))["createTask"]["id"]
        heard = await hear(socket)

    assert {"id": seen} == heard["payload"]["data"]["taskUpdates"]["task"]


async def test_no_more_of_long_output_is_told_to_who_may_not_see_the_run_any_more(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHUNKS_AT_ONCE", 1)
    told = stream.output_of(Context(services, Caller(MEMBER), "request"), RUN, 0)
    first = await anext(told)
    await services.database.write(show_out)

    assert 1 == first.seq
    with pytest.raises(ResourceNotFound):
        await anext(told)


async def test_the_end_is_not_told_to_who_lost_sight_of_the_run(services: Services) -> None:
    told = stream.output_of(Context(services, Caller(MEMBER), "request"), RUN, 0)
    chunks = [await anext(told) for _ in range(3)]
    await services.database.write(show_out)

    assert [1, 2, 3] == [chunk.seq for chunk in chunks]
    with pytest.raises(ResourceNotFound):
        await anext(told)


async def test_no_more_of_what_an_agent_told_is_told_to_who_may_not_see_the_run_any_more(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "EVENTS_AT_ONCE", 1)
    for seq in (1, 2):
        await services.database.write(tell, RUN, seq)
    told = agents.told(Context(services, Caller(MEMBER), "request"), RUN, 0)
    first = await anext(told)
    await services.database.write(show_out)

    assert 1 == first.seq
    with pytest.raises(ResourceNotFound):
        await anext(told)


async def test_output_of_a_projects_run_is_not_told_to_who_may_not_see_it_any_more(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHUNKS_AT_ONCE", 1)
    printed = {RUN: 0}
    news = stream._news(Context(services, Caller(MEMBER), "request"), printed, [RUN])
    first = await anext(news)
    await services.database.write(show_out)

    assert 1 == first.seq
    assert [] == [chunk async for chunk in news]


async def test_events_of_a_project_are_in_order_and_end_with_sight_of_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "EVENTS_AT_ONCE", 2)
    told = stream.facts(Context(services, Caller(MEMBER), "request"), "0-0", project_id=PROJECT)
    events = [await anext(told) for _ in range(4)]
    expected = [row["id"] for row in ROWS[log] if row["project_id"] == PROJECT]
    await services.database.write(show_out)

    assert expected[:4] == [event.id for event in events]
    with pytest.raises(ProjectNotFound):
        await anext(told)


def show_out(tx: Tx) -> None:
    """Let nobody be a member of anything."""
    tx.execute(delete(members).where(true()))


def tell(tx: Tx, run_id: str, seq: int) -> None:
    """Have an agent think."""
    data = {"text": "Hm", "parent_id": None}
    row = {"run_id": run_id, "seq": seq, "kind": "thinking", "data": data, "at": at(seq)}
    tx.execute(insert(agent_events), row)
