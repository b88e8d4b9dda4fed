"""Members of a project over GraphQL."""

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
    remove = """mutation ($project: ID!, $user: ID!) {
        removeProjectMember(projectId: $project, userId: $user) }"""
    added = (await server.data(add, "developer", **words))["addProjectMember"]["members"]
    changed = (await server.data(change, "developer", **words))["changeProjectMember"]["members"]
    seen = await server.data("{ projects { nodes { id } } }", "viewer")
    await server.data(remove, "viewer", **words)
    unseen = await server.data("{ projects { nodes { id } } }", "viewer")

    assert [("developer", "OWNER"), ("viewer", "EDITOR")] == _roles(added)
    assert [("developer", "OWNER"), ("viewer", "VIEWER")] == _roles(changed)
    assert [{"id": project_id}] == seen["projects"]["nodes"]
    assert [] == unseen["projects"]["nodes"]


def _roles(members: list[dict[str, dict[str, str]]]) -> list[tuple[str, object]]:
    return [(member["user"]["username"], member["role"]) for member in members]
