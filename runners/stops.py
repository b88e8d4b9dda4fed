"""Why a run is stopped."""

from enum import Enum


class Stop(Enum):
    """Why a run was stopped. Whoever stopped it decides how it ended, not its exit code."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed out"
    STUCK = "stuck"
    DESPAIRED = "despaired"
    STARTED_OVER = "started over"
    DRAINED = "drained"
    LOST = "lost"
