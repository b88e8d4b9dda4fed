"""Members of a project over GraphQL."""

from tests.fixtures.members import ADD_MEMBER, REMOVE_MEMBER
from tests.fixtures.server import Served

MEMBERS = "{ members { user { username } role since } }"


async def test_members_come_change_and_go(server: Served) -> None:
    created = 'mutation { createProject(input: {name: "P"}) { id } }'
    project_id = (await server.data(created, "developer"))["createProject"]["id"]
    words = {"project": project_id, "user": server.user_ids["viewer"]}
    add = f"""mutation ($project: ID!, $user: ID!) {{
        addProjectMember(projectId: $project, userId: $user) {MEMBERS} }}"""
    change = f"""mutation ($project: ID!, $user: ID!) {{
        changeProjectMember(projectId: $project, userId: $user, role: VIEWER) {MEMBERS} }}"""
    added = (await server.data(add, "developer", **words))["addProjectMember"]["members"]
    changed = (await server.data(change, "developer", **words))["changeProjectMember"]["members"]
    seen = await server.data("{ projects { nodes { id } } }", "viewer")
    await server.data(REMOVE_MEMBER, "viewer", **words)
    unseen = await server.data("{ projects { nodes { id } } }", "viewer")

    assert [("developer", "OWNER"), ("viewer", "EDITOR")] == _roles(added)
    assert [("developer", "OWNER"), ("viewer", "VIEWER")] == _roles(changed)
    assert [{"id": project_id}] == seen["projects"]["nodes"]
    assert [] == unseen["projects"]["nodes"]


async def test_who_leaves_a_project_sees_nothing_of_it_any_more(server: Served) -> None:
    """Neither by a session that had it in view, nor by a run that they had begun."""
    created = 'mutation { createProject(input: {name: "P"}) { id } }'
    project_id = (await server.data(created))["createProject"]["id"]
    words = {"project": project_id, "user": server.user_ids["developer"]}
    work = """mutation ($project: ID!) {
        createSession(input: {projectId: $project}) { id }
        executeCommand(input: {projectId: $project, command: "true"}) { id }
    }"""
    await server.data(ADD_MEMBER, **words)
    begun = await server.data(work, "developer", project=project_id)
    ids = {"session": begun["createSession"]["id"], "run": begun["executeCommand"]["id"]}
    look = """query ($session: ID!, $run: ID!) {
        session(id: $session) { projectName project { id } } run(id: $run) { id } }"""
    before = await server.data(look, "developer", **ids)
    await server.data(REMOVE_MEMBER, **words)
    after = await server.graphql(look, "developer", **ids)

    assert {"projectName": "P", "project": {"id": project_id}} == before["session"]
    assert {"projectName": None, "project": None} == after["data"]["session"]
    assert ["run"] == [error["path"][0] for error in after["errors"]]
    assert "RESOURCE_NOT_FOUND" == after["errors"][0]["extensions"]["code"]


def _roles(members: list[dict[str, dict[str, str]]]) -> list[tuple[str, object]]:
    return [(member["user"]["username"], member["role"]) for member in members]
