"""The Claude runner: the CLI's command line, what it is told, and how it ended."""

import codecs
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Row, select

from db import policies, spending
from db.engine import Database
from db.errors import BudgetSpent
from db.policies import MICROS, RULE
from db.tables import tasks
from db.types import AgentMode, Stream
from runners import agents
from runners.adapter import EXECUTION_FAILED, Effect, NotYet, Printed, Unable, Verdict
from runners.fence import written
from runners.lines import Lines, clipped
from runners.shell import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND
from runners.transcript import Transcript
from settings import Settings

NOT_FOUND = "claude CLI not found"
OLDEST_VERSION = (2, 1, 248)
"""The first that takes a message as text alone: `/` and `@` in it are no orders."""

MODES = {
    AgentMode.READ_ONLY: "dontAsk",
    AgentMode.ACCEPT_EDITS: "acceptEdits",
    AgentMode.ASK: "default",
    AgentMode.BYPASS: "bypassPermissions",
}
ASKING = (AgentMode.ACCEPT_EDITS, AgentMode.ASK)
# What needs a terminal, outlives the run or leaves its directory.
NEVER_ALLOWED = ("AskUserQuestion", "CronCreate", "ScheduleWakeup", "EnterWorktree", "Workflow")
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    "CLAUDE_CODE_MAX_RETRIES": "4",
}
CREDENTIALS = {
    "ANTHROPIC_API_KEY": "anthropic_api_key",
    "ANTHROPIC_AUTH_TOKEN": "anthropic_auth_token",
    "CLAUDE_CODE_OAUTH_TOKEN": "claude_code_oauth_token",
}

# What may well be different the next time; the CLI itself has tried a few times by then.
PASSING_ERRORS = (408, 409, 429)
WAIT_FOR_BUDGET_SECONDS = 5.0
WAIT_FOR_EXIT_SECONDS = 30.0
NO_CONVERSATION = "No conversation found"
MOST_TURNS = 10_000
LONGEST_ERROR = 2_000
LONGEST_LAST_WORDS = 500


class Claude:
    """One run of the CLI: a conversation by stream-json, in both directions."""

    def __init__(
        self,
        argv: tuple[str, ...],
        environment: Mapping[str, str],
        home: Path,
        prompt: str,
        stall_seconds: float,
    ) -> None:
        self.argv = argv
        self.environment = environment
        self.home: Path | None = home
        self._prompt = prompt
        self._stall_seconds = stall_seconds
        self._lines = Lines()
        self._transcript = Transcript()
        self._stderr = codecs.getincrementaldecoder("utf-8")("replace")
        self._last_words = ""

    def opening(self) -> bytes:
        return _said(str(uuid.uuid4()), self._prompt)

    def read(self, stream: Stream, data: bytes) -> Iterable[Effect]:
        if stream is Stream.STDERR:
            text = self._stderr.decode(data)
            self._last_words = (self._last_words + text)[-LONGEST_ERROR:]
            yield Printed(stream, text)
            return
        for line in self._lines.feed(data):
            yield from self._transcript.read(line)

    def message(self, message_id: str, text: str) -> bytes:
        self._transcript.awaited.add(message_id)
        return _said(message_id, text)

    def answer(self, request_id: str, *, allow: bool, reason: str | None) -> bytes | None:
        asked = self._transcript.asked.pop(request_id, None)
        if asked is None:
            return None
        answer = (
            {"behavior": "allow", "updatedInput": asked}
            if allow
            else {"behavior": "deny", "message": reason or "Permission was denied"}
        )
        response = {"subtype": "success", "request_id": request_id, "response": answer}
        return _line({"type": "control_response", "response": response})

    def interruption(self) -> bytes:
        request = {"request_id": str(uuid.uuid4()), "request": {"subtype": "interrupt"}}
        return _line({"type": "control_request", **request})

    def is_resting(self) -> bool:
        return self._transcript.result is not None and not self._transcript.awaited

    def patience_seconds(self) -> float | None:
        if self.is_resting():
            return WAIT_FOR_EXIT_SECONDS
        return None if self._transcript.is_at_work else self._stall_seconds

    def verdict(self, exit_code: int) -> Verdict:
        transcript = self._transcript
        if transcript.despair:
            message = f"The API does not accept the key ({transcript.despair['error_status']})"
            return Verdict(EXECUTION_FAILED, message, may_retry=False)
        if transcript.result is None:
            last_words = clipped(self._last_words.strip().rpartition("\n")[2], LONGEST_LAST_WORDS)
            said = f": {last_words}" if last_words else ""
            return Verdict(EXECUTION_FAILED, f"claude ended with code {exit_code}{said}")
        if failure := _failure(transcript.result):
            return failure
        if exit_code != 0:
            return Verdict(EXECUTION_FAILED, f"claude ended with code {exit_code}")
        return Verdict()


async def prepared(database: Database, settings: Settings, run: Row[Any]) -> Claude:
    """The CLI for a run of a task. Raises `Unable`, `NotYet` and `Fenced`."""
    task = await database.first(select(tasks).where(tasks.c.id == run.task_id))
    assert task
    policy = policies.policy_or_default(await database.first(policies.of(run.project_id)))
    mode = AgentMode(policy["mode"] or settings.claude_permission_mode)
    if mode is AgentMode.BYPASS and os.geteuid() == 0:
        message = "An agent may not do whatever it likes on a server that runs as root"
        raise Unable(EXIT_NOT_EXECUTABLE, message)
    home = settings.agent_home(run.bucket)
    installed = await _installed(settings, home)
    granted = await _granted(database, settings, run)
    return Claude(
        _argv(installed.path, settings, run, policy, mode, granted),
        _environment(settings),
        home,
        _prompt(task, run),
        settings.claude_stall_seconds,
    )


async def _installed(settings: Settings, home: Path) -> agents.Installed:
    found = await agents.find(settings.claude_command, home)
    if found is None:
        raise Unable(EXIT_NOT_FOUND, NOT_FOUND)
    if found.version is None or found.version < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        message = f"claude CLI {oldest} or newer is needed, not {found.shown_version or 'unknown'}"
        # One that did not say its version may have had too much to do.
        raise Unable(EXIT_NOT_EXECUTABLE, message, may_retry=found.version is None)
    return found


async def _granted(database: Database, settings: Settings, run: Row[Any]) -> int | None:
    """What it may spend, in millionths of a dollar."""
    most_micros = round(settings.claude_max_budget_usd * MICROS) or None
    try:
        grant = await written(database, spending.grant, run.id, run.fence, most_micros)
    except BudgetSpent as spent:
        raise Unable(None, spent.message, spent.code) from None
    if grant.must_wait:
        raise NotYet(WAIT_FOR_BUDGET_SECONDS)
    return grant.micros


def _argv(
    path: str,
    settings: Settings,
    run: Row[Any],
    policy: Mapping[str, Any],
    mode: AgentMode,
    granted: int | None,
) -> tuple[str, ...]:
    """`--option=value` throughout: nothing that people choose can pass for an option."""
    session = run.agent_session_id
    model = run.options.get("model") or policy["model"] or settings.claude_model
    turns = min(run.options.get("max_turns") or MOST_TURNS, settings.claude_max_turns)
    return (
        *(path, "-p", "--input-format=stream-json", "--output-format=stream-json", "--verbose"),
        *("--include-partial-messages", "--replay-user-messages"),
        *("--setting-sources=user", "--strict-mcp-config"),
        f"--permission-mode={MODES[mode]}",
        *(("--permission-prompt-tool=stdio",) if mode in ASKING else ()),
        *((f"--model={model}",) if model else ()),
        f"--max-turns={turns}",
        *((f"--max-budget-usd={granted / MICROS:.6f}",) if granted is not None else ()),
        f"--resume={session}" if session else f"--session-id={uuid.uuid4()}",
        *(f"--disallowedTools={rule}" for rule in (*NEVER_ALLOWED, *policy["denied_tools"])),
        *(f"--allowedTools={rule}" for rule in policy["allowed_tools"] if RULE.fullmatch(rule)),
    )


def _environment(settings: Settings) -> dict[str, str]:
    given = {name: getattr(settings, setting) for name, setting in CREDENTIALS.items()}
    secrets = {name: secret.get_secret_value() for name, secret in given.items() if secret}
    base = {"ANTHROPIC_BASE_URL": url} if (url := settings.anthropic_base_url) else {}
    return QUIET | secrets | base


def _prompt(task: Row[Any], run: Row[Any]) -> str:
    """What it is told first. It never begins with `/`, which would be an order to the CLI."""
    more = run.options.get("message")
    whole = "\n\n".join(part for part in (task.title, task.description, more) if part)
    if not run.agent_session_id:
        return f"Task: {whole}"
    if run.agent_event_seq:
        return f"Task: go on with what was interrupted; look what is done already.\n\n{whole}"
    return f"Task: {more or 'go on.'}"


def _failure(result: Mapping[str, Any]) -> Verdict | None:
    """Why a result is none to be glad of."""
    errors = "; ".join(map(str, result.get("errors", ())))
    match result["subtype"]:
        case "success" if not result["is_error"]:
            return None
        case "success":
            status = result.get("api_error_status")
            passing = status is None or status in PASSING_ERRORS or status >= 500
            message = result.get("result") or "The API answered with an error"
            return Verdict(EXECUTION_FAILED, clipped(message, LONGEST_ERROR), may_retry=passing)
        case "error_max_budget_usd":
            message = f"The run has spent its budget: {errors}"
            return Verdict(BudgetSpent.code, message, may_retry=False)
        case "error_max_turns":
            message = f"The run has taken all its turns: {errors}"
            return Verdict(EXECUTION_FAILED, message, may_retry=False)
        case _ if NO_CONVERSATION in errors:
            return Verdict(EXECUTION_FAILED, clipped(errors, LONGEST_ERROR), lost_its_session=True)
        case subtype:
            return Verdict(EXECUTION_FAILED, clipped(errors or subtype, LONGEST_ERROR))


def _said(message_id: str, text: str) -> bytes:
    return _line(
        {
            "type": "user",
            "uuid": message_id,
            # Text and nothing else: `/` is no command, `@` sends no file.
            "client_composed": True,
            "message": {"role": "user", "content": text},
            "parent_tool_use_id": None,
            "session_id": "",
        }
    )


def _line(message: Mapping[str, Any]) -> bytes:
    return orjson.dumps(message) + b"\n"
