"""What the recorded lines of the CLI mean."""

import json
from typing import Any

import pytest

from db.approvals import Request
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
from runners.transcript import Transcript
from tests.runners.claude_lines import LINES, printed

SESSION = "98582d65-18e1-43e7-9187-b324641f4935"
MODEL = "claude-opus-5-5"
ANSWER = "Stub answer 1 (scenario text, 0 tool results, 0 earlier assistant messages)."


def test_the_first_line_names_the_conversation() -> None:
    transcript = Transcript()

    found = transcript.read(printed("system init", tools=["Bash"]))
    again = transcript.read(printed("system init"))

    assert [
        Identified(SESSION, MODEL),
        Told(
            "started",
            {
                "session_id": SESSION,
                "model": MODEL,
                "mode": "default",
                "tools": ["Bash"],
                "version": "2.1.330",
            },
        ),
        Progressed(5),
    ] == found
    assert [] == again


def test_text_is_printed_once_though_it_comes_twice() -> None:
    transcript = Transcript()
    delta = LINES["stream_event content_block_delta:text_delta"]
    pieces = [ANSWER[:10], ANSWER[10:]]

    effects = [
        effect for piece in pieces for effect in transcript.read(printed_delta(delta, piece))
    ] + transcript.read(printed("assistant text"))

    assert ANSWER + "\n" == text_of(effects, Stream.STDOUT)
    assert [{"role": "assistant", "parent_id": None, "text": ANSWER}] == told(effects, "message")


def test_text_is_printed_whole_when_the_stream_was_lost_on_the_way() -> None:
    transcript = Transcript()
    delta = LINES["stream_event content_block_delta:text_delta"]

    effects = transcript.read(printed_delta(delta, ANSWER[:10]))
    effects += transcript.read(printed("assistant text"))
    effects += transcript.read(printed("assistant text"))

    assert f"{ANSWER}\n{ANSWER}\n" == text_of(effects, Stream.STDOUT)


def test_a_tool_call_is_told_and_printed() -> None:
    effects = Transcript().read(printed("assistant tool_use"))

    assert "[Bash] nohup tail -f /dev/null > /dev/null 2>&1 & echo started\n" == text_of(
        effects, Stream.STDOUT
    )
    assert ["Bash"] == [call["tool"] for call in told(effects, "tool_call")]


@pytest.mark.parametrize(
    ("kind", "stream", "is_error"),
    [
        ("user tool_result [False]", Stream.STDOUT, False),
        ("user tool_result [None]", Stream.STDOUT, False),
        ("user tool_result [True]", Stream.STDERR, True),
    ],
)
def test_a_tool_result_is_told_and_printed(kind: str, stream: Stream, is_error: bool) -> None:
    effects = Transcript().read(printed(kind))

    (result,) = told(effects, "tool_result")
    assert is_error == result["is_error"]
    assert result["text"] + "\n" == text_of(effects, stream)


def test_a_huge_tool_result_is_clipped() -> None:
    transcript = Transcript()
    line: dict[str, Any] = json.loads(json.dumps(LINES["user tool_result [False]"]))
    line["message"]["content"][0]["content"] = "x" * 5_000_000

    effects = transcript.read(json.dumps(line).encode())

    assert len(told(effects, "tool_result")[0]["text"]) < 21_000
    assert len(text_of(effects, Stream.STDOUT)) < 21_000


def test_what_a_subagent_says_is_told_and_not_printed() -> None:
    effects = Transcript().read(printed("assistant text", parent_tool_use_id="toolu_1"))

    assert "" == text_of(effects, Stream.STDOUT)
    assert ["toolu_1"] == [message["parent_id"] for message in told(effects, "message")]


def test_a_thought_is_told() -> None:
    effects = Transcript().read(printed("assistant thinking"))

    assert [{"parent_id": None, "text": "I wonder."}] == told(effects, "thinking")
    assert "" == text_of(effects, Stream.STDOUT)


def test_an_error_of_the_api_is_printed_to_stderr_and_is_no_message() -> None:
    effects = Transcript().read(printed("assistant text error=server_error"))

    assert text_of(effects, Stream.STDERR).startswith("API Error: 500")
    assert [] == told(effects, "message")


def test_a_retry_is_told() -> None:
    effects = Transcript().read(
        printed("system api_retry", error="rate_limit", error_status=429, max_retries=4)
    )

    assert [
        Told(
            "retry",
            {
                "attempt": 1,
                "max_attempts": 4,
                "delay_seconds": 0.504,
                "http_status": 429,
                "error": "rate_limit",
            },
        ),
        Printed(
            Stream.STDERR, "The API answered 429 (rate_limit); trying again in 0.5 s (1 of 4)\n"
        ),
    ] == effects


def test_it_despairs_when_the_key_is_not_accepted() -> None:
    transcript = Transcript()

    effects = transcript.read(printed("system api_retry"))

    assert effects[-1] == Despaired()
    assert transcript.despair is not None


def test_a_permission_is_asked_for_and_withdrawn() -> None:
    transcript = Transcript()
    asked = LINES["control_request can_use_tool"]
    call = {"command": "touch zz", "description": "d"}

    effects = transcript.read(printed("control_request can_use_tool"))
    was_at_work = transcript.is_at_work
    withdrawn = transcript.read(printed("control_cancel_request"))

    assert [
        Asked(Request(asked["request_id"], "Bash", input=call, shown=call, description="d"))
    ] == effects
    assert was_at_work
    assert [Withdrew(asked["request_id"])] == withdrawn
    assert not transcript.is_at_work


@pytest.mark.parametrize("kind", ["user replay", "command_lifecycle completed"])
def test_a_message_is_taken_once(kind: str) -> None:
    transcript = Transcript()
    message_id = LINES["user replay"]["uuid"]
    transcript.awaited.add(message_id)

    found = [effect for _ in range(2) for effect in transcript.read(printed(kind))]

    assert [Took(message_id)] == found


def test_a_queued_message_is_not_taken_yet() -> None:
    transcript = Transcript()
    transcript.awaited.add(LINES["user replay"]["uuid"])

    assert [] == transcript.read(printed("command_lifecycle queued"))


def test_a_result_says_what_was_spent() -> None:
    transcript = Transcript()

    effects = transcript.read(printed("result success is_error=False completed"))

    assert Spent([Spending(MODEL, 1, 2572, 26, 1865, 11_181)]) == effects[-1]
    assert [ANSWER] == [result["text"] for result in told(effects, "result")]
    assert transcript.result is not None


def test_what_was_spent_by_a_stopped_run_is_counted_though_its_usage_says_nothing() -> None:
    effects = Transcript().read(
        printed("result error_max_budget_usd is_error=True budget_exhausted")
    )

    assert Spent([Spending(MODEL, 1, 2572, 48, 1865, 11_621)]) == effects[-1]


def test_what_an_earlier_process_has_spent_is_not_counted_again() -> None:
    since = {"claude-x": {"inputTokens": 5, "outputTokens": 2, "costUSD": 0.25}}
    whole = {"claude-x": {"inputTokens": 500, "outputTokens": 200, "costUSD": 25.0}}

    effects = Transcript().read(
        printed(
            "result success is_error=False completed",
            model_usage_since_last_result=since,
            modelUsage=whole,
            total_cost_usd=25.0,
        )
    )

    assert Spent([Spending("claude-x", 1, 5, 2, 0, 250_000)]) == effects[-1]


def test_progress_moves_with_turns_and_never_gets_to_the_end() -> None:
    transcript = Transcript()
    message = LINES["assistant text"]["message"]

    steps = [
        effect.percentage
        for turn in range(1000)
        for _ in range(2)  # Several lines share a turn.
        for effect in transcript.read(
            printed("assistant text", message=message | {"id": f"msg_{turn}"})
        )
        if isinstance(effect, Progressed)
    ]

    assert 1000 == len(steps)
    assert sorted(steps) == steps
    assert (15, 94) == (steps[0], steps[-1])


@pytest.mark.parametrize("kind", LINES)
def test_every_recorded_line_is_understood(
    kind: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    Transcript().read(printed(kind))

    assert "not understood" not in caplog.text + capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "of a later release", "x": 1}',
        b'{"no": "type"}',
        b'{"type": "assistant"}',
        b'{"type": "assistant", "message": {"id": "m", "content": [{"type": "new"}]}}',
        b'{"type": "result"}',
        b'{"type": "user", "message": {"content": [7]}}',
        b'{"type": 5}',
        b"[]",
        b"",
    ],
)
def test_a_line_that_nobody_understands_does_no_harm(line: bytes) -> None:
    effects = Transcript().read(line)

    assert [] == [effect for effect in effects if not isinstance(effect, Printed | Progressed)]


def test_what_is_no_json_is_printed_to_stderr() -> None:
    assert [Printed(Stream.STDERR, "Segmentation fault\n")] == Transcript().read(
        b"Segmentation fault"
    )


def printed_delta(delta: dict[str, Any], text: str) -> bytes:
    event = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }
    return json.dumps(delta | {"event": event}).encode()


def text_of(effects: list[Effect], stream: Stream) -> str:
    """All that these effects print to a stream."""
    return "".join(
        effect.text for effect in effects if isinstance(effect, Printed) and effect.stream is stream
    )


def told(effects: list[Effect], kind: str) -> list[Any]:
    """The events of a kind among these effects."""
    return [effect.data for effect in effects if isinstance(effect, Told) and effect.kind == kind]
