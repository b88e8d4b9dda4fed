"""Permission requests of agents: asked, answered by people, and never lost."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from gql.transport.exceptions import TransportQueryError

from tests.fixtures.agents import CANCEL, Director, Opening, details_of, director, printed

APPROVALS = """query ($project: ID, $status: [ApprovalStatus!]) {
  approvals(filter: {projectId: $project, status: $status}) {
    nodes { id tool input status reason answerer { username } run { id } task { title } }
  }
}"""
NOTIFICATIONS = "{ notifications { id title message actions } }"
UPDATES = """subscription ($project: ID!) {
  approvalUpdates(projectId: $project, after: "0-0") {
    kind approval { id status }
  }
}"""


async def test_an_allowed_call_is_made(office: Opening) -> None:
    async with office("asking") as place:
        user = place.user
        run_id = await user.begin("Build")
        asked = await user.told(run_id, "AgentPermissionRequest")
        status = await user.answer(asked["approval"]["id"], "ALLOW")
        run = await user.ended(run_id)

    assert ("Bash", {"command": "make all"}) == (
        asked["approval"]["tool"],
        asked["approval"]["input"],
    )
    assert ("ALLOWED", "COMPLETED") == (status, run["status"])
    assert '{"behavior": "allow", "updatedInput": {"command": "make all"}}\n' == printed(run)


async def test_two_equal_calls_at_once_are_two_requests(office: Opening) -> None:
    async with office("doubting") as place:
        user = place.user
        run_id = await user.begin("Build")
        asked: list[Any] = []
        while len(asked) < 2:
            await user.told(run_id, "AgentPermissionRequest")
            asked = (await user.ask(APPROVALS))["approvals"]["nodes"]
        for request in asked:
            await user.answer(request["id"], "ALLOW")
        run = await user.ended(run_id)

    assert 2 == len({request["id"] for request in asked})
    assert "COMPLETED" == run["status"]


async def test_a_denied_call_is_not_made_and_the_agent_hears_why(office: Opening) -> None:
    async with office("asking") as place:
        user = place.user
        run_id = await user.begin("Build")
        asked = await user.told(run_id, "AgentPermissionRequest")
        await user.answer(asked["approval"]["id"], "DENY", "Not today")
        run = await user.ended(run_id)

    assert '{"behavior": "deny", "message": "Not today"}\n' == printed(run)


async def test_a_request_that_nobody_answers_expires_as_denied(office: Opening) -> None:
    async with office("asking", approval_seconds=0.5) as place:
        user = place.user
        run_id = await user.begin("Build")
        run = await user.ended(run_id)
        told = [news for news in await user.all_told(run_id) if "approval" in news]

    assert '{"behavior": "deny", "message": "Nobody answered in time"}\n' == printed(run)
    assert ["EXPIRED", "EXPIRED"] == [news["approval"]["status"] for news in told]


async def test_a_request_is_withdrawn_when_its_run_is_cancelled(office: Opening) -> None:
    async with office("asking") as place:
        user = place.user
        run_id = await user.begin("Build")
        asked = await user.told(run_id, "AgentPermissionRequest")
        await user.ask(CANCEL, id=run_id)
        await user.ended(run_id)
        with pytest.raises(TransportQueryError) as refusal:
            await user.answer(asked["approval"]["id"], "ALLOW")

    assert "WITHDRAWN" == details_of(refusal.value)["status"].upper()


async def test_the_first_answer_counts(office: Opening) -> None:
    async with office("asking") as place:
        user = place.user
        run_id = await user.begin("Build")
        asked = (await user.told(run_id, "AgentPermissionRequest"))["approval"]
        answers = await asyncio.gather(
            *(user.answer(asked["id"], decision) for decision in ("ALLOW", "DENY", "ALLOW")),
            return_exceptions=True,
        )
        run = await user.ended(run_id)

    (counted,) = [answer for answer in answers if isinstance(answer, str)]
    assert {"ALLOWED": "allow", "DENIED": "deny"}[counted] in printed(run)


async def test_a_request_is_listed_told_and_kept_with_its_answer(office: Opening) -> None:
    async with office("asking") as place:
        user = place.user
        project = await user.create_project("Builds")
        run_id = await user.start(await user.task(project, "Build"))
        asked = (await user.told(run_id, "AgentPermissionRequest"))["approval"]
        pending = await listed(user, project, ["PENDING"])
        await user.answer(asked["id"], "ALLOW", "Go on")
        await user.ended(run_id)
        after = await listed(user, project)
        told = await updates(user, project, 2)

    assert [(asked["id"], "PENDING", None)] == [
        (each["id"], each["status"], each["answerer"]) for each in pending
    ]
    assert [("ALLOWED", "Go on", {"username": "developer"}, {"title": "Build"})] == [
        (each["status"], each["reason"], each["answerer"], each["task"]) for each in after
    ]
    assert ["approval.requested", "approval.allowed"] == told


async def test_who_started_the_run_is_notified_until_somebody_has_answered(
    office: Opening,
) -> None:
    async with office("asking") as place:
        user = place.user
        run_id = await user.begin("Build")
        asked = (await user.told(run_id, "AgentPermissionRequest"))["approval"]
        waiting = (await user.ask(NOTIFICATIONS))["notifications"]
        administrator = await director(place.server, "admin")
        others = (await administrator.ask(NOTIFICATIONS))["notifications"]
        await administrator.answer(asked["id"], "ALLOW")
        answered = (await user.ask(NOTIFICATIONS))["notifications"]

    assert [(asked["id"], "An agent asks to use Bash", '{"command":"make all"}')] == [
        (each["id"], each["title"], each["message"]) for each in waiting
    ]
    assert ["Allow", "Deny"] == [action["label"] for action in waiting[0]["actions"]]
    assert [] == others == answered


async def test_who_may_only_look_can_not_answer(office: Opening) -> None:
    async with office("asking") as place:
        user = place.user
        asked = await user.told(await user.begin("Build"), "AgentPermissionRequest")
        viewer = await director(place.server, "viewer")
        with pytest.raises(TransportQueryError) as refusal:
            await viewer.answer(asked["approval"]["id"], "ALLOW")
        seen = await listed(viewer)

    assert "execute" == details_of(refusal.value)["required"]
    assert [] == seen


async def test_a_request_survives_a_restart_and_is_answered_meanwhile(office: Opening) -> None:
    async with office("asking") as place:
        run_id = await place.user.begin("Build")
        asked = (await place.user.told(run_id, "AgentPermissionRequest"))["approval"]
    async with office("asking", worker_concurrency=0) as place:
        waiting = await place.user.run(run_id)
        await place.user.answer(asked["id"], "ALLOW")
    async with office("asking") as place:
        run = await place.user.ended(run_id)
        told = [news for news in await place.user.all_told(run_id) if "approval" in news]

    assert "QUEUED" == waiting["status"]
    assert ("COMPLETED", 1) == (run["status"], run["attempt"])
    assert '"allow"' in printed(run)
    assert {asked["id"]} == {news["approval"]["id"] for news in told}


async def listed(
    user: Director, project: str | None = None, status: list[str] | None = None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await user.ask(APPROVALS, project=project, status=status))[
        "approvals"
    ]["nodes"]
    return found


async def updates(user: Director, project: str, most: int) -> list[str]:
    """The first few things that are told of a project's requests."""
    told = []
    async with aclosing(user.subscribe(UPDATES, project=project)) as answers:
        async for answer in answers:
            told.append(answer["approvalUpdates"]["kind"])
            if len(told) == most:
                break
    return told
