"""What agents may do in a project, and what they may cost."""

import asyncio
import os
from contextlib import aclosing
from typing import Any

import pytest
from gql.transport.exceptions import TransportQueryError

from runners import claude
from tests.fixtures.agents import INTERRUPT, SEND, Opening, details_of, director

POLICY = """query ($id: ID!) {
  project(id: $id) {
    usage { costUsd turns }
    agentPolicy {
      mode allowedTools deniedTools model budgetPerRunUsd budgetPerDayUsd budgetPerMonthUsd
    }
  }
}"""
ANALYTICS = """query ($id: ID!) {
  projectAnalytics(projectId: $id, period: "7d") {
    usage { day model turns inputTokens outputTokens cacheTokens costUsd }
  }
  viewer { usage { costUsd } }
}"""
PRICE = 0.25  # Of every turn of the fake.
SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"allowedTools": ["Read(/etc/**)"]}, "allowed_tools.0"),
    ({"allowedTools": ["WebSearch", "Edit(../other/**)"]}, "allowed_tools.1"),
    ({"allowedTools": ["Read(~/.ssh/*)"]}, "allowed_tools.0"),
    ({"allowedTools": ["Read(a),Bash,Read(b)"]}, "allowed_tools.0"),
    ({"deniedTools": ["Bash(ls) Read(x)"]}, "denied_tools.0"),
    ({"allowedTools": ["--model=x"]}, "allowed_tools.0"),
    ({"deniedTools": ["Bash(a\nb)"]}, "denied_tools.0"),
    ({"deniedTools": ["X"] * 101}, "denied_tools"),
    ({"model": "--resume=x"}, "model"),
    ({"budgetPerDayUsd": 0}, "budget_per_day_usd"),
    ({"budgetPerRunUsd": 11}, "budget_per_run_usd"),
    ({"allowedTools": None}, "allowed_tools"),
]


async def test_a_policy_becomes_the_options_of_the_cli(office: Opening) -> None:
    async with office("obedient") as place:
        user = place.user
        project = await user.create_project("Careful")
        await user.policy(
            project,
            mode="READ_ONLY",
            allowedTools=["Read", "Write", "Edit(docs/**)", "Bash(pytest *)", "WebSearch"],
            deniedTools=["WebFetch", "Bash(git push *)"],
            model="haiku",
            budgetPerRunUsd=0.5,
        )
        await user.ended(await user.start(await user.task(project, "Look"), maxTurns=7))

    options = place.told()["options"]
    assert {
        "--permission-mode=dontAsk",
        "--model=haiku",
        "--max-turns=7",
        "--max-budget-usd=0.500000",
    } <= set(options)
    assert "--permission-prompt-tool=stdio" not in options
    assert ["Read(./**)", "Edit(./**)", "Edit(./docs/**)", "Bash(pytest *)", "WebSearch"] == [
        option.partition("=")[2] for option in options if option.startswith("--allowedTools=")
    ]
    assert {"WebFetch", "Bash(git push *)", "AskUserQuestion"} <= {
        option.partition("=")[2] for option in options if option.startswith("--disallowedTools=")
    }


async def test_a_policy_is_shown_as_it_was_set(office: Opening) -> None:
    async with office("obedient") as place:
        user = place.user
        project = await user.create_project("Careful")
        unset = (await user.ask(POLICY, id=project))["project"]
        await user.policy(project, mode="ASK", budgetPerDayUsd=2.5)
        await user.policy(project, deniedTools=["WebFetch"])
        found = (await user.ask(POLICY, id=project))["project"]

    assert {"costUsd": 0, "turns": 0} == unset["usage"]
    assert (None, [], None) == (
        unset["agentPolicy"]["mode"],
        unset["agentPolicy"]["allowedTools"],
        unset["agentPolicy"]["budgetPerDayUsd"],
    )
    assert {
        "mode": "ASK",
        "allowedTools": [],
        "deniedTools": ["WebFetch"],
        "model": None,
        "budgetPerRunUsd": None,
        "budgetPerDayUsd": 2.5,
        "budgetPerMonthUsd": None,
    } == found["agentPolicy"]


async def test_a_policy_that_makes_no_sense_is_refused(office: Opening) -> None:
    refused = []
    async with office("obedient", worker_concurrency=0) as place:
        project = await place.user.create_project("Careful")
        for policy, _ in SENSELESS:
            with pytest.raises(TransportQueryError) as refusal:
                await place.user.policy(project, **policy)
            refused.append(details_of(refusal.value)["field"])

    assert [field for _, field in SENSELESS] == refused


@pytest.mark.parametrize("policy", [{"mode": "BYPASS"}, {"allowedTools": ["Bash"]}])
async def test_only_an_administrator_lets_agents_do_all_they_like(
    office: Opening, policy: dict[str, Any]
) -> None:
    async with office("obedient") as place:
        project = await place.user.create_project("Wild")
        with pytest.raises(TransportQueryError) as refusal:
            await place.user.policy(project, **policy)
        administrator = await director(place.server, "admin")
        await administrator.policy(project, **policy)
        run = await place.user.ended(
            await place.user.start(await place.user.task(project, "Go wild"))
        )

    refused_as_root = "mode" in policy and os.geteuid() == 0
    assert "administer" == details_of(refusal.value)["required"]
    assert ("FAILED" if refused_as_root else "COMPLETED") == run["status"]


async def test_only_an_owner_sets_a_policy(office: Opening) -> None:
    async with office("obedient", worker_concurrency=0) as place:
        administrator = await director(place.server, "admin")
        project = await administrator.create_project("Theirs")
        with pytest.raises(TransportQueryError) as refusal:
            await place.user.policy(project, mode="ASK")

    assert "PROJECT_NOT_FOUND" == code_of(refusal.value)


async def test_a_run_does_not_start_when_the_budget_of_the_day_is_spent(office: Opening) -> None:
    async with office("obedient") as place:
        user = place.user
        project = await user.create_project("Poor")
        await user.policy(project, budgetPerDayUsd=PRICE * 1.5)
        task = await user.task(project, "Spend")
        await user.ended(await user.start(task))
        await user.ended(await user.start(task))
        second = place.told()["options"]
        with pytest.raises(TransportQueryError) as refusal:
            await user.start(task)
        spent = (await user.ask(POLICY, id=project))["project"]["usage"]

    assert f"--max-budget-usd={PRICE / 2:.6f}" in second
    assert "PROJECT_LIMIT_EXCEEDED" == code_of(refusal.value)
    assert "day" == details_of(refusal.value)["period"]
    assert {"costUsd": PRICE * 2, "turns": 2} == spent


async def test_what_was_spent_is_shown_by_day_and_model(office: Opening) -> None:
    async with office("obedient") as place:
        user = place.user
        project = await user.create_project("Rich")
        task = await user.task(project, "Spend")
        for _ in range(2):
            await user.ended(await user.start(task))
        found = await user.ask(ANALYTICS, id=project)

    (today,) = found["projectAnalytics"]["usage"]
    assert ("claude-fake-1", 2, 200, 20, 10, PRICE * 2) == tuple(today.values())[1:]
    assert PRICE * 2 == found["viewer"]["usage"]["costUsd"]


async def test_a_run_waits_while_another_may_need_what_is_left(
    office: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude, "WAIT_FOR_BUDGET_SECONDS", 0.2)
    async with office("listening") as place:
        user = place.user
        project = await user.create_project("Poor")
        await user.policy(project, budgetPerMonthUsd=1)
        first = await user.start(await user.task(project, "First"))
        await user.told(first, "AgentStarted")
        second = await user.start(await user.task(project, "Second"))
        started = asyncio.create_task(user.told(second, "AgentStarted"))
        await asyncio.wait({started}, timeout=1)
        waiting = await user.run(second)
        await user.ask(SEND, id=first, text="bye")
        await user.ended(first)
        await started
        await user.ask(SEND, id=second, text="bye")
        run = await user.ended(second)

    history = [event["kind"] for event in run["task"]["history"]]
    assert waiting["status"] in ("QUEUED", "RUNNING")
    assert waiting["agentSessionId"] is None
    assert ("COMPLETED", 1) == (run["status"], run["attempt"])
    assert ["task.created", "task.queued", "task.started", "task.completed"] == history
    assert f"--max-budget-usd={1 - PRICE:.6f}" in place.told()["options"]


async def test_tries_of_one_run_share_its_budget(office: Opening) -> None:
    async with office("failing") as place:
        run = await place.user.ended(
            await place.user.begin("Try", retryAttempts=5, maxBudgetUsd=PRICE * 2)
        )

    assert ("FAILED", "PROJECT_LIMIT_EXCEEDED", 3, PRICE * 2) == (
        run["status"],
        run["errorCode"],
        run["attempt"],
        run["usage"]["costUsd"],
    )
    assert "The run's budget of $0.50 is spent" == run["errorMessage"]


async def test_what_is_spent_stays_spent_when_the_run_was_interrupted(office: Opening) -> None:
    async with office("listening") as place:
        user = place.user
        run_id = await user.begin("Listen")
        async with aclosing(user.news(run_id)) as news:
            async for _ in news:
                await user.ask(INTERRUPT, id=run_id)
                break
        run = await user.ended(run_id)

    assert ("CANCELLED", PRICE) == (run["status"], run["usage"]["costUsd"])


def code_of(refusal: TransportQueryError) -> str:
    assert refusal.errors
    return str(refusal.errors[0]["extensions"]["code"])
