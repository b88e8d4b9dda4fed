"""What an agent may do in a project by itself, and what it may cost."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, insert, select, update

from db import events, projects
from db.actors import Actor
from db.engine import Tx
from db.errors import Invalid, InvalidFormat, ProjectAccessDenied
from db.tables import agent_policies as policies
from db.types import AgentMode, MemberRole, Permission
from db.validation import no_nulls, text

MOST_RULES = 100
MOST_USD = 1_000_000
MICROS = 1_000_000
"""Money is kept in millionths of a dollar, so that sums are exact."""

UNSET: Mapping[str, Any] = {
    "mode": None,
    "allowed_tools": [],
    "denied_tools": [],
    "model": None,
    "micros_per_run": None,
    "micros_per_day": None,
    "micros_per_month": None,
}
BUDGETS = {f"budget_per_{period}_usd": f"micros_per_{period}" for period in ("run", "day", "month")}

# A rule of the CLI's: a tool, and in parentheses what of it. For the CLI it ends with the first
# closing one, and another rule may follow: so there is none within.
RULE = re.compile(
    r"(?P<tool>[A-Z][A-Za-z]{0,63}|mcp__[\w-]{1,120})(\((?P<what>[^\n\r)]{1,500})\))?"
)
READING = ("Read", "Glob", "Grep", "LS")
EDITING = ("Edit", "Write", "MultiEdit", "NotebookEdit")
WHOLE_PROJECT = "./**"


def of(project_id: Any) -> Select[Any]:
    """The policy of a project; one that nobody has set has no row."""
    return select(policies).where(policies.c.project_id == project_id)


def change(
    tx: Tx, actor: Actor, project_id: str, changes: Mapping[str, Any], *, most_usd: float | None
) -> None:
    """Set what `changes` names; for the project's owners. No run may be granted over `most_usd`.

    Raises `ProjectAccessDenied`, `InsufficientPermissions` for what only an administrator may
    allow, and `Invalid`.
    """
    project = projects.get_active(tx, actor, project_id)
    if project.role != MemberRole.OWNER and not actor.is_admin:
        raise ProjectAccessDenied(project_id=project_id, role=project.role)
    values = _valid(actor, changes, most_usd)
    stamp = {"updated_at": tx.now, "updated_by": actor.id}
    if tx.first(of(project_id).with_for_update()):
        tx.execute(
            update(policies).where(policies.c.project_id == project_id).values(**values, **stamp)
        )
    else:
        tx.execute(insert(policies), {**UNSET, **values, **stamp, "project_id": project_id})
    events.tell(tx, "project.agent_policy_changed", actor, project_id=project_id, data=values)


def micros(field: str, usd: float) -> int:
    """An amount of money as it is kept."""
    if not 0 < usd <= MOST_USD:
        raise Invalid(field, f"Must be more than 0 and at most {MOST_USD}")
    return max(round(usd * MICROS), 1)


def policy_or_default(row: Row[Any] | None) -> Mapping[str, Any]:
    """What applies where there may be no row."""
    return row._asdict() if row else UNSET


def _valid(actor: Actor, changes: Mapping[str, Any], most_usd: float | None) -> dict[str, Any]:
    no_nulls(changes, but=("mode", "model", *BUDGETS))
    found: dict[str, Any] = {}
    for field, value in changes.items():
        match field:
            case "mode":
                found[field] = _mode(actor, value)
            case "allowed_tools":
                found[field] = [
                    _allowed(actor, f"{field}.{place}", rule)
                    for place, rule in enumerate(_rules(field, value))
                ]
            case "denied_tools":
                found[field] = [rule[0] for rule in _rules(field, value)]
            case "model":
                found[field] = model(field, value)
            case _:
                found[BUDGETS[field]] = None if value is None else micros(field, value)
    if most_usd is not None and (found.get("micros_per_run") or 0) > most_usd * MICROS:
        raise Invalid("budget_per_run_usd", f"The server allows at most {most_usd:g}")
    return found


def model(field: str, value: str | None) -> str | None:
    """A model's name, which must not look like an option."""
    if value is None:
        return None
    if not re.fullmatch(r"[A-Za-z0-9][\w.:/@\[\]-]{0,99}", value, re.ASCII):
        raise InvalidFormat(field, "Must be the name of a model")
    return value


def _mode(actor: Actor, mode: AgentMode | None) -> AgentMode | None:
    if mode is AgentMode.BYPASS:
        actor.must(Permission.ADMINISTER)
    return mode


def _rules(field: str, rules: Sequence[str]) -> list[re.Match[str]]:
    if len(rules) > MOST_RULES:
        raise Invalid(field, f"Must be at most {MOST_RULES}", maximum=MOST_RULES)
    return [_rule(f"{field}.{place}", rule) for place, rule in enumerate(rules)]


def _rule(field: str, rule: str) -> re.Match[str]:
    found = RULE.fullmatch(text(field, rule, shortest=1, longest=700))
    if not found:
        raise InvalidFormat(field, "Must be a tool, or a tool and a pattern: `Bash(pytest *)`")
    return found


def _allowed(actor: Actor, field: str, rule: re.Match[str]) -> str:
    """The rule, kept within the project's directory: without that the whole disk were open."""
    tool, what = rule["tool"], rule["what"]
    if tool in READING or tool in EDITING:
        return f"{'Read' if tool in READING else 'Edit'}({_inside(field, what or WHOLE_PROJECT)})"
    if tool == "Bash" and not _is_bounded(what):
        actor.must(Permission.ADMINISTER)
    return rule[0]


def _inside(field: str, pattern: str) -> str:
    parts = pattern.split("/")
    if pattern.startswith(("/", "~")) or ".." in parts:
        raise Invalid(field, "Must stay in the project: `./docs/**`")
    return pattern if pattern.startswith("./") else f"./{pattern}"


def _is_bounded(command: str | None) -> bool:
    return bool(command and command.strip(" *:"))
