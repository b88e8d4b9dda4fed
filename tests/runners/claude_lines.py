"""Lines that the Claude CLI 2.1.330 has really printed, one of every kind, in short."""

import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "fixtures" / "claude_lines.jsonl"

LINES: dict[str, dict[str, Any]] = {
    entry["kind"]: entry["line"] for entry in map(json.loads, RECORDED.read_text().splitlines())
}


def printed(kind: str, **changes: Any) -> bytes:
    """The line of a kind as it was printed, with some of its fields changed."""
    return json.dumps(LINES[kind] | changes).encode()
