"""Schedules through the graph, and tasks that start by themselves."""

from tests.fixtures.server import Served

CREATE = """mutation ($task: ID!) {
  createSchedule(input: {
    taskId: $task, cron: "30 6 * * 1-5", timeZone: "Europe/Vienna", overlap: REPLACE,
    options: {retryAttempts: 1}
  }) { id cron timeZone overlap missed lane paused options nextAt task { id } creator { username } }
}"""
UPDATE = """mutation ($id: ID!) {
  updateSchedule(id: $id, input: {cron: "0 7 * * *", paused: true}) { cron paused missed }
}"""
LIST = "query ($task: ID!) { schedules(filter: {taskId: $task}) { totalCount nodes { id } } }"
REMOVE = "mutation ($id: ID!) { removeSchedule(id: $id) { id } }"
PROJECT = """mutation { createProject(input: {name: "P"}) { id } }"""
TASK = """mutation ($project: ID!, $auto: Boolean) {
  createTask(input: {
    projectId: $project, title: "T", autoStart: $auto, metadata: {command: "true"}
  }) { id autoStart }
}"""
DEFAULTS = """mutation ($id: ID!) {
  setExecutionDefaults(id: $id, defaults: {retryAttempts: 2, timeout: 60}) {
    executionDefaults { retryAttempts timeout }
  }
}"""


async def test_a_schedule_is_made_changed_listed_and_removed(server: Served) -> None:
    task_id = await a_task(server)
    made = (await server.data(CREATE, "developer", task=task_id))["createSchedule"]
    changed = await server.data(UPDATE, "developer", id=made["id"])
    listed = await server.data(LIST, "developer", task=task_id)
    await server.data(REMOVE, "developer", id=made["id"])
    left = await server.data(LIST, "developer", task=task_id)

    assert ("30 6 * * 1-5", "Europe/Vienna", "REPLACE", "SKIP", "NORMAL", False) == (
        *(made[name] for name in ("cron", "timeZone", "overlap", "missed", "lane", "paused")),
    )
    assert {"retry_attempts": 1} == made["options"]
    assert made["nextAt"].endswith(("04:30:00Z", "05:30:00Z"))
    assert (task_id, "developer") == (made["task"]["id"], made["creator"]["username"])
    assert {"cron": "0 7 * * *", "paused": True, "missed": "SKIP"} == changed["updateSchedule"]
    assert [{"id": made["id"]}] == listed["schedules"]["nodes"]
    assert 0 == left["schedules"]["totalCount"]


async def test_a_schedule_of_somebody_elses_project_is_not_found(server: Served) -> None:
    task_id = await a_task(server, "admin")
    made = (await server.data(CREATE, "admin", task=task_id))["createSchedule"]
    answer = await server.graphql(UPDATE, "developer", id=made["id"])

    assert "RESOURCE_NOT_FOUND" == answer["errors"][0]["extensions"]["code"]


async def test_a_project_has_execution_defaults(server: Served) -> None:
    project = (await server.data(PROJECT, "developer"))["createProject"]
    changed = (await server.data(DEFAULTS, "developer", id=project["id"]))["setExecutionDefaults"]

    assert {"retryAttempts": 2, "timeout": 60} == changed["executionDefaults"]


async def test_a_task_may_be_made_to_start_by_itself(server: Served) -> None:
    project = (await server.data(PROJECT, "developer"))["createProject"]
    task = await server.data(TASK, "developer", project=project["id"], auto=True)

    assert task["createTask"]["autoStart"]


async def a_task(server: Served, username: str = "developer") -> str:
    project = (await server.data(PROJECT, username))["createProject"]
    return str((await server.data(TASK, username, project=project["id"]))["createTask"]["id"])
