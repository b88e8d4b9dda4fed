"""What the Claude CLI's lines of stream-json mean: effects, and how the conversation stands."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog

from db.approvals import Request
from db.policies import MICROS
from db.spending import Spending
from db.types import Stream
from runners.adapter import (
    Asked,
    Despaired,
    Effect,
    Identified,
    Printed,
    Progressed,
    Spent,
    Told,
    Took,
    Withdrew,
)
from runners.lines import clipped, clipped_within, parsed

log = structlog.get_logger(__name__)

Line = Mapping[str, Any]

LONGEST_TEXT = 200_000
LONGEST_RESULT = 20_000
LONGEST_PRINTED_CALL = 2_000
LONGEST_SHOWN = 100_000

FIRST_PROGRESS, LAST_PROGRESS = 5, 95
HALF_WAY_TURNS = 8

AUTHENTICATION_FAILED = "authentication_failed"
SETTLED = ("completed", "cancelled", "discarded")


class Transcript:
    """One process's part of a conversation, line by line."""

    def __init__(self) -> None:
        self.result: Line | None = None
        """The latest result; a new turn takes it back."""

        self.despair: Line | None = None
        """The error for which it is no use to go on."""

        self.asked: dict[str, Line] = {}
        """The inputs of the calls that wait for a permission, by the question's name."""

        self.awaited: set[str] = set()
        """The messages that were sent and that it has not taken yet."""

        self._is_introduced = False
        self._calls: set[str] = set()
        self._streamed = ""
        self._turn = ""
        self._turns = 0

    def read(self, line: bytes) -> list[Effect]:
        """What a line means; one that is of no use, or of an unknown kind, means nothing."""
        found = parsed(line)
        if found is None:
            text = clipped(line.decode(errors="replace"), LONGEST_RESULT)
            return [Printed(Stream.STDERR, text + "\n")] if text.strip() else []
        try:
            return list(self._effects(found))
        except (KeyError, TypeError, AttributeError, ValueError):
            log.warning("a line of the agent's was not understood", kind=found.get("type"))
            return []

    @property
    def is_at_work(self) -> bool:
        """Whether it is legitimately silent: a tool runs, or people think about a permission."""
        return bool(self._calls or self.asked)

    def _effects(self, line: Line) -> Iterator[Effect]:
        kind = f"system/{line.get('subtype')}" if line["type"] == "system" else line["type"]
        if meaning := MEANINGS.get(kind):
            yield from meaning(self, line)

    def _began(self, line: Line) -> Iterator[Effect]:
        """A turn begins; the first one says who is there."""
        self.result = None
        if self._is_introduced:
            return
        self._is_introduced = True
        yield Identified(line["session_id"], line["model"])
        yield Told(
            "started",
            {
                "session_id": line["session_id"],
                "model": line["model"],
                "mode": line.get("permissionMode"),
                "tools": list(line.get("tools", ())),
                "version": line.get("claude_code_version"),
            },
        )
        yield Progressed(FIRST_PROGRESS)

    def _retried(self, line: Line) -> Iterator[Effect]:
        error, status = str(line.get("error")), line.get("error_status")
        seconds = line.get("retry_delay_ms", 0) / 1000
        retry = {
            "attempt": line["attempt"],
            "max_attempts": line.get("max_retries"),
            "delay_seconds": seconds,
            "http_status": status,
            "error": error,
        }
        yield Told("retry", retry)
        what = f"The API answered {status or 'nothing'} ({error})"
        if error == AUTHENTICATION_FAILED:
            self.despair = line
            yield Printed(Stream.STDERR, f"{what}: the key is not accepted\n")
            yield Despaired()
        else:
            again = f"trying again in {seconds:.1f} s ({line['attempt']} of {line['max_retries']})"
            yield Printed(Stream.STDERR, f"{what}; {again}\n")

    def _streams(self, line: Line) -> Iterator[Effect]:
        """Text as it comes. The same text follows as a whole, in a line of its own."""
        event = line["event"]
        if line.get("parent_tool_use_id") or event["type"] != "content_block_delta":
            return
        if text := event["delta"].get("text"):
            self._streamed += text
            yield Printed(Stream.STDOUT, text)

    def _said(self, line: Line) -> Iterator[Effect]:
        message, parent = line["message"], line.get("parent_tool_use_id")
        if not parent and "error" not in line:
            yield from self._advance(message["id"])
        for block in message["content"]:
            match block["type"]:
                case "text" if "error" in line:
                    yield Printed(Stream.STDERR, block["text"] + "\n")
                case "text":
                    if not parent:
                        yield from self._rest_of(block["text"])
                    text = clipped(block["text"], LONGEST_TEXT)
                    yield Told("message", {"role": "assistant", "parent_id": parent, "text": text})
                case "thinking":
                    thought = clipped(block["thinking"], LONGEST_TEXT)
                    yield Told("thinking", {"parent_id": parent, "text": thought})
                case "tool_use":
                    yield from self._calls_tool(block, parent)

    def _rest_of(self, text: str) -> Iterator[Effect]:
        """What was not streamed of a text: nothing, unless the stream was lost on the way."""
        streamed, self._streamed = self._streamed, ""
        rest = text.removeprefix(streamed) if text.startswith(streamed) else f"\n{text}"
        if not text.endswith("\n"):
            rest += "\n"
        if rest:
            yield Printed(Stream.STDOUT, rest)

    def _advance(self, message_id: str) -> Iterator[Effect]:
        """There is no true progress: every turn comes nearer to the end, and none gets there."""
        if message_id != self._turn:
            self._turn = message_id
            self._turns += 1
            done = self._turns / (self._turns + HALF_WAY_TURNS)
            yield Progressed(FIRST_PROGRESS + int((LAST_PROGRESS - FIRST_PROGRESS) * done))

    def _calls_tool(self, block: Line, parent: str | None) -> Iterator[Effect]:
        self._calls.add(block["id"])
        shown = clipped_within(block["input"], LONGEST_RESULT)
        yield Told("tool_call", {"call_id": block["id"], "tool": block["name"],
                                 "input": shown, "parent_id": parent})  # fmt: skip
        if not parent:
            call = clipped(_words(block["input"]), LONGEST_PRINTED_CALL)
            yield Printed(Stream.STDOUT, f"[{block['name']}] {call}\n")

    def _heard(self, line: Line) -> Iterator[Effect]:
        """What it got to hear: the result of a tool call, or what it was told."""
        if line.get("isReplay"):
            yield from self._took(line.get("uuid"))
            return
        parent = line.get("parent_tool_use_id")
        content = line["message"]["content"]
        for block in content if isinstance(content, list) else ():
            if block["type"] != "tool_result":
                continue
            self._calls.discard(block["tool_use_id"])
            text, failed = _text_of(block.get("content")), bool(block.get("is_error"))
            text = clipped(text, LONGEST_RESULT)
            yield Told("tool_result", {"call_id": block["tool_use_id"], "text": text,
                                       "is_error": failed, "parent_id": parent})  # fmt: skip
            if text and not parent:
                stream = Stream.STDERR if failed else Stream.STDOUT
                yield Printed(stream, text if text.endswith("\n") else text + "\n")

    def _withdraws(self, line: Line) -> Iterator[Effect]:
        self.asked.pop(line["request_id"], None)
        yield Withdrew(line["request_id"])

    def _settled(self, line: Line) -> Iterator[Effect]:
        if line["state"] in SETTLED:
            yield from self._took(line["command_uuid"])

    def _took(self, message_id: str | None) -> Iterator[Effect]:
        if message_id in self.awaited:
            self.awaited.remove(message_id)
            yield Took(message_id)

    def _asks(self, line: Line) -> Iterator[Effect]:
        request = line["request"]
        if request["subtype"] != "can_use_tool":
            log.warning("the agent asked for what we do not offer", kind=request["subtype"])
            return
        self.asked[line["request_id"]] = request["input"]
        yield Asked(
            Request(
                request_id=line["request_id"],
                tool=request["tool_name"],
                input=request["input"],
                shown=clipped_within(request["input"], LONGEST_SHOWN),
                description=request.get("description") or request.get("decision_reason"),
            )
        )

    def _ended(self, line: Line) -> Iterator[Effect]:
        self.result = line
        self._calls.clear()
        yield Told(
            "result",
            {
                "is_error": line["is_error"],
                "subtype": line["subtype"],
                "text": clipped(line.get("result") or "", LONGEST_TEXT),
                "errors": [clipped(str(error), LONGEST_RESULT) for error in line.get("errors", ())],
                "turns": line.get("num_turns", 0),
                "duration_ms": line.get("duration_ms"),
                "denials": [_denial(denied) for denied in line.get("permission_denials", ())],
            },
        )
        yield Spent(_spendings(line))


def _spendings(result: Line) -> list[Spending]:
    """What it has cost since the last result, model by model.

    A CLI that went on with a conversation restates the whole of it in its totals.
    """
    models = result.get("model_usage_since_last_result", result.get("modelUsage", {}))
    turns = result.get("num_turns", 0)
    found = []
    for place, (model, usage) in enumerate(models.items()):
        cached = usage.get("cacheReadInputTokens", 0) + usage.get("cacheCreationInputTokens", 0)
        found.append(
            Spending(
                model=model,
                turns=turns if place == 0 else 0,
                input_tokens=usage.get("inputTokens", 0),
                output_tokens=usage.get("outputTokens", 0),
                cache_tokens=cached,
                cost_micros=round(usage.get("costUSD", 0) * MICROS),
            )
        )
    return found


def _denial(denied: Line) -> dict[str, Any]:
    return {
        "tool": denied["tool_name"],
        "input": clipped_within(denied.get("tool_input", {}), LONGEST_PRINTED_CALL),
    }


def _text_of(content: Any) -> str:
    """The result of a tool call: text, or blocks of it among others."""
    if isinstance(content, str):
        return content
    parts = (
        block.get("text", "") if block.get("type") == "text" else f"[{block.get('type')}]"
        for block in content or ()
    )
    return "\n".join(parts)


def _words(call: Line) -> str:
    """A call's input in short: its one text, else all of it."""
    shown = {name: value for name, value in call.items() if name != "description"}
    match list(shown.values()):
        case [str() as only]:
            return only
        case _:
            return ", ".join(f"{name}: {value}" for name, value in shown.items())


MEANINGS: Mapping[str, Callable[[Transcript, Line], Iterator[Effect]]] = {
    "system/init": Transcript._began,
    "system/api_retry": Transcript._retried,
    "stream_event": Transcript._streams,
    "assistant": Transcript._said,
    "user": Transcript._heard,
    "control_request": Transcript._asks,
    "control_cancel_request": Transcript._withdraws,
    "command_lifecycle": Transcript._settled,
    "result": Transcript._ended,
}
