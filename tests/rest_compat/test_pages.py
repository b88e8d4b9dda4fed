"""Every list that has pages links them."""

import pytest

from tests.fixtures.server import Served
from tests.rest_compat.real import data_of, new_project, new_task


@pytest.mark.parametrize("path", ["/api/tasks/", "/api/projects/{project_id}/tasks"])
async def test_the_links_of_a_page_lead_through_the_list(server: Served, path: str) -> None:
    async with server.http() as client:
        project_id = (await new_project(client))["id"]
        for title in ("a", "b", "c"):
            await new_task(client, project_id=project_id, title=title)
        words = f"project_id={project_id}&sort=title&order=asc&page_size=2"
        pages = []
        link = f"{path.format(project_id=project_id)}?{words}"
        while link:
            pages.append(data_of(await client.get(link)))
            link = pages[-1]["pagination"]["links"]["next"]
        back = data_of(await client.get(pages[-1]["pagination"]["links"]["previous"]))

    assert [["a", "b"], ["c"]] == [[task["title"] for task in page["items"]] for page in pages]
    assert pages[0]["items"] == back["items"]
    assert {"total": 3, "page": 2, "page_size": 2, "pages": 2} == {
        name: value for name, value in pages[-1]["pagination"].items() if name != "links"
    }


async def test_the_list_of_projects_is_linked_too(server: Served) -> None:
    async with server.http() as client:
        await new_project(client)
        page = data_of(await client.get("/api/projects/?page_size=1"))

    assert "/api/projects/?page=1&page_size=1" == page["pagination"]["links"]["first"]


async def test_the_tasks_of_an_unknown_project_are_not_found(server: Served) -> None:
    async with server.http("developer") as client, server.http() as admin:
        project_id = (await new_project(admin))["id"]
        answers = [await client.get(f"/api/projects/{id_}/tasks") for id_ in ("x", project_id)]

    assert ["PROJECT_NOT_FOUND"] * 2 == [answer.json()["error"]["code"] for answer in answers]
