"""The shell runner: what a command becomes, and what its exit code says."""

import shlex
import signal
from collections.abc import Mapping
from pathlib import Path

from runners.adapter import EXECUTION_FAILED, Verdict

EXIT_NOT_FOUND = 127
EXIT_NOT_EXECUTABLE = 126


class Shell:
    """A command line for the shell."""

    environment: Mapping[str, str] = {}
    home: Path | None = None

    def __init__(self, command: str) -> None:
        self.argv: tuple[str, ...] = ("/bin/sh", "-c", command)
        self._command = command

    def verdict(self, exit_code: int) -> Verdict:
        if exit_code == 0:
            return Verdict()
        return Verdict(EXECUTION_FAILED, explain(self._command, exit_code))


def explain(command: str, exit_code: int) -> str:
    """Why a command failed, in words."""
    if exit_code == EXIT_NOT_FOUND:
        return f"Command not found: {_program(command)}"
    if exit_code == EXIT_NOT_EXECUTABLE:
        return f"Command cannot be executed: {_program(command)}"
    if exit_code < 0:
        return f"Ended by {_signal(-exit_code)}"
    return f"Exited with code {exit_code}"


def _program(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return words[0] if words else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # Most real-time signals have no name.
