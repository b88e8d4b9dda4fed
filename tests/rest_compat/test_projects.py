"""/api/projects as documented."""

from tests.fixtures.server import Served
from tests.rest_compat.real import TIME, UUID, data_of, new_project, new_task, refusal_of

DOCUMENTED = {
    "name": "E-commerce Platform",
    "description": "Full-stack e-commerce platform with React and FastAPI",
    "settings": {"theme": "dark", "notifications": True, "auto_assign": False},
    "resource_limits": {"max_tasks": 500, "max_concurrent_tasks": 5, "storage_limit": "1GB"},
}
KEYS = ["id", "name", "description", "status", "created_by", "created_at", "updated_at"]
COUNTS = ["total_tasks", "completed_tasks", "pending_tasks", "running_tasks"]


async def test_create_answers_as_documented(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client, **DOCUMENTED)

    assert [*KEYS, "settings", "resource_limits", "statistics"] == list(project)
    assert {name: project[name] for name in DOCUMENTED} == DOCUMENTED
    assert UUID.fullmatch(project["id"])
    assert ("active", server.user_ids["admin"]) == (project["status"], project["created_by"])
    assert TIME.fullmatch(project["created_at"])
    assert dict.fromkeys(COUNTS, 0) == project["statistics"]


async def test_list_answers_a_page(server: Served) -> None:
    async with server.http() as client:
        for name in ("page 1", "page 2", "page 3"):
            await new_project(client, name=name)
        query = "search=page&sort=name&order=asc&page_size=2&page=2"
        page = data_of(await client.get(f"/api/projects/?{query}"))

    (project,) = page.pop("items")
    page.pop("pagination")
    assert {
        "total": 3,
        "page": 2,
        "page_size": 2,
        "pages": 2,
        "has_next": False,
        "has_previous": True,
    } == page
    assert "page 3" == project["name"]
    assert [*KEYS[:-1], "statistics"] == list(project)
    assert COUNTS == list(project["statistics"])


async def test_list_filters(server: Served) -> None:
    async with server.http() as client:
        kept = await new_project(client, name="needle")
        await new_project(client, name="hay")
        archived = await new_project(client, name="needles")
        await client.put(f"/api/projects/{archived['id']}", json={"status": "archived"})
        admin = server.user_ids["admin"]
        path = f"/api/projects/?search=name:NEED*&status=active,completed&created_by={admin}"
        found = data_of(await client.get(path))
        none = data_of(await client.get(path + "&created_before=2020-01-01T00:00:00Z"))

    assert [kept["id"]] == [project["id"] for project in found["items"]]
    assert 0 == none["total"]


async def test_get_answers_as_documented(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client)
        await new_task(client, project_id=project["id"], title="Setup")
        found = data_of(await client.get(f"/api/projects/{project['id']}"))

    assert [*KEYS, "settings", "resource_limits", "statistics", "recent_activity"] == list(found)
    assert [*COUNTS, "failed_tasks", "completion_rate", "average_task_duration"] == list(
        found["statistics"]
    )
    assert (1, 1) == (found["statistics"]["total_tasks"], found["statistics"]["pending_tasks"])
    latest = found["recent_activity"][0]
    assert ["timestamp", "action", "task_title", "user_name"] == list(latest)
    assert ("task_created", "Setup", "The admin") == tuple(latest.values())[1:]


async def test_update_changes_only_what_is_given(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client, **DOCUMENTED)
        path = f"/api/projects/{project['id']}"
        await client.put(path, json={"name": "v2", "settings": {"theme": "light"}})
        changed = data_of(await client.put(path, json={"description": None}))

    assert ("v2", None) == (changed["name"], changed["description"])
    assert DOCUMENTED["settings"] | {"theme": "light"} == changed["settings"]  # type: ignore[operator]
    assert DOCUMENTED["resource_limits"] == changed["resource_limits"]


async def test_a_deleted_project_is_gone(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client)
        deleted = data_of(await client.delete(f"/api/projects/{project['id']}"))
        again = await client.get(f"/api/projects/{project['id']}")

    assert ["message", "deleted_at"] == list(deleted)
    assert "Project deleted successfully" == deleted["message"]
    assert TIME.fullmatch(deleted["deleted_at"])
    assert (404, "PROJECT_NOT_FOUND") == refusal_of(again)


async def test_a_project_of_others_is_not_found(server: Served) -> None:
    async with server.http() as admin, server.http("developer") as developer:
        project = await new_project(admin)
        got = await developer.get(f"/api/projects/{project['id']}")
        changed = await developer.put(f"/api/projects/{project['id']}", json={"name": "x"})
        listed = data_of(await developer.get("/api/projects/"))

    assert (404, "PROJECT_NOT_FOUND") == refusal_of(got)
    assert (404, "PROJECT_NOT_FOUND") == refusal_of(changed)
    assert 0 == listed["total"]


async def test_a_viewer_only_looks(server: Served) -> None:
    async with server.http("viewer") as client:
        listed = await client.get("/api/projects/")
        created = await client.post("/api/projects/", json={"name": "x"})

    assert 200 == listed.status_code
    assert (403, "AUTH_INSUFFICIENT_PERMISSIONS") == refusal_of(created)


async def test_a_project_lists_its_own_tasks(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client)
        task = await new_task(client, project_id=project["id"], title="Setup")
        await new_task(client)
        path = f"/api/projects/{project['id']}/tasks"
        page = data_of(await client.get(f"{path}?status=pending"))
        none = data_of(await client.get(f"{path}?status=failed,running"))

    assert (1, [task["id"]]) == (page["total"], [each["id"] for each in page["items"]])
    assert 0 == none["total"]


async def test_a_clone_is_a_project_of_its_own(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client, **DOCUMENTED)
        await new_task(client, project_id=project["id"], title="Setup")
        path = f"/api/projects/{project['id']}/clone"
        body = {"name": "Copy", "include_tasks": True, "include_settings": False}
        plain = data_of(await client.post(path, json={"name": "Plain"}), 201)
        whole = data_of(await client.post(path, json=body), 201)
        nameless = await client.post(path, json={})

    assert [*KEYS, "settings", "resource_limits", "statistics"] == list(plain)
    assert ("Plain", DOCUMENTED["settings"]) == (plain["name"], plain["settings"])
    assert (0, 1) == tuple(each["statistics"]["total_tasks"] for each in (plain, whole))
    assert ({}, 1000) == (whole["settings"], whole["resource_limits"]["max_tasks"])
    assert (422, "VALIDATION_REQUIRED_FIELD") == refusal_of(nameless)


async def test_analytics_are_as_documented(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client)
        done = await new_task(client, project_id=project["id"], estimated_duration="01:00:00")
        await new_task(client, project_id=project["id"])
        await client.put(f"/api/tasks/{done['id']}", json={"status": "completed"})
        path = f"/api/projects/{project['id']}/analytics"
        analytics = data_of(await client.get(path))
        lengths = [
            len(data_of(await client.get(f"{path}?period={period}"))["task_trends"][each])
            for period in ("7d", "90d", "1y")
            for each in ("created_per_day", "completed_per_day")
        ]
        refused = await client.get(f"{path}?period=2d")

    (member,) = analytics["team_performance"]
    assert {
        "project_id": project["id"],
        "period": "30d",
        "summary": {
            "total_tasks": 2,
            "completed_tasks": 1,
            "average_completion_time": "00:00:00",
            "productivity_score": 0.75,
        },
        "task_trends": {
            "created_per_day": [*[0] * 29, 2],
            "completed_per_day": [*[0] * 29, 1],
        },
        "performance_metrics": {
            "average_task_duration": "00:00:00",
            "median_task_duration": "00:00:00",
            "completion_rate": 0.5,
            "on_time_completion_rate": 1.0,
        },
        "team_performance": [
            {
                "user_id": server.user_ids["admin"],
                "user_name": "The admin",
                "tasks_completed": 1,
                "average_duration": member["average_duration"],
                "completion_rate": 0.5,
            }
        ],
    } == analytics
    assert [7, 7, 90, 90, 365, 365] == lengths
    assert (422, "VALIDATION_INVALID_FORMAT") == refusal_of(refused)


async def test_an_archived_project_is_read_only(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client)
        task = await new_task(client, project_id=project["id"], metadata={"command": "true"})
        path = f"/api/projects/{project['id']}"
        archived = data_of(await client.put(path, json={"status": "archived"}))
        refused = [
            await client.put(path, json={"name": "x"}),
            await client.post("/api/tasks/", json={"title": "x", "project_id": project["id"]}),
            await client.post(f"/api/tasks/{task['id']}/execute"),
        ]

    assert "archived" == archived["status"]
    assert [(409, "PROJECT_ARCHIVED")] * 3 == [refusal_of(response) for response in refused]


async def test_a_full_project_takes_no_more_tasks(server: Served) -> None:
    async with server.http() as client:
        project = await new_project(client, resource_limits={"max_tasks": 1})
        await new_task(client, project_id=project["id"])
        body = {"title": "x", "project_id": project["id"]}
        response = await client.post("/api/tasks/", json=body)

    assert (409, "PROJECT_LIMIT_EXCEEDED") == refusal_of(response)


async def test_an_unknown_project_is_not_found(server: Served) -> None:
    async with server.http() as client:
        answers = [
            await client.get("/api/projects/unknown/tasks"),
            await client.get("/api/projects/unknown/analytics"),
            await client.post("/api/projects/unknown/clone", json={"name": "x"}),
        ]

    assert [(404, "PROJECT_NOT_FOUND")] * 3 == [refusal_of(answer) for answer in answers]
