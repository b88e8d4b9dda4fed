"""What agents may do and what they cost: types that refer to no other."""

from collections.abc import Mapping
from typing import Any

import strawberry
from sqlalchemy import ColumnElement, Float, cast

from db.policies import MICROS
from db.tables import agent_policies as policies
from db.types import AgentMode
from graph.nouns import column, noun
from graph.scalars import BigInt

strawberry.enum(AgentMode, name="AgentMode", description=AgentMode.__doc__)


def _usd(micros: ColumnElement[int]) -> ColumnElement[Any]:
    return cast(micros, Float) / MICROS


@noun(None)
class RunUsage:
    """What an agent took for one run, over all its tries."""

    model: str | None = column(None, "The model that it spoke to last.")
    turns: int = column(None, "How often the model answered.")
    input_tokens: BigInt = column(None, "Tokens that the model read anew.")
    output_tokens: BigInt = column(None, "Tokens that the model wrote.")
    cache_tokens: BigInt = column(None, "Tokens that were written to its cache or read from there.")
    cost_usd: float = column(None, "In dollars, as the agent estimates it.")


@noun(None)
class Usage:
    """What agents took in all. It outlives the runs that it is made up of."""

    turns: int = column(None, "How often a model answered.")
    input_tokens: BigInt = column(None, "Tokens that a model read anew.")
    output_tokens: BigInt = column(None, "Tokens that a model wrote.")
    cache_tokens: BigInt = column(None, "Tokens that were written to a cache or read from there.")
    cost_usd: float = column(None, "In dollars, as the agents estimate it.")


@noun(policies)
class AgentPolicy:
    """What agents may do in a project by themselves, and what they may cost."""

    mode: AgentMode | None = column(
        policies.c.mode, "What they may do; null is as the server is set."
    )
    allowed_tools: list[str] = column(
        policies.c.allowed_tools, "Rules of what is always allowed: `Bash(pytest *)`."
    )
    denied_tools: list[str] = column(
        policies.c.denied_tools, "Rules of what is never allowed; they come before all others."
    )
    model: str | None = column(policies.c.model, "The model of tasks that name none.")
    budget_per_run_usd: float | None = column(
        _usd(policies.c.micros_per_run), "What one run may cost at most."
    )
    budget_per_day_usd: float | None = column(
        _usd(policies.c.micros_per_day), "What all runs of a day (UTC) may cost."
    )
    budget_per_month_usd: float | None = column(
        _usd(policies.c.micros_per_month), "What all runs of a month (UTC) may cost."
    )


UNSET_POLICY: Mapping[str, Any] = {
    "mode": None,
    "allowed_tools": [],
    "denied_tools": [],
    "model": None,
    "budget_per_run_usd": None,
    "budget_per_day_usd": None,
    "budget_per_month_usd": None,
}
"""The policy of a project for which nobody has set one."""
