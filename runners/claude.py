"""The Claude runner: the command line and the prompt that a task becomes."""

import shutil

COMMAND = "claude"
NOT_FOUND = "claude CLI not found"


def is_installed() -> bool:
    return shutil.which(COMMAND) is not None


def argv() -> tuple[str, ...]:
    """The CLI without a terminal; the prompt comes by standard input."""
    return (COMMAND, "-p")


def prompt(title: str, description: str | None) -> bytes:
    """What the CLI is asked. It never begins with `/` or `-`, which would be an order to itself."""
    text = f"Task: {title}"
    return (f"{text}\n\n{description}" if description else text).encode()
