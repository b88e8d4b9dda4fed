"""How times and lengths of time are written where the documentation shows them."""

from datetime import UTC, datetime


def to_the_second(moment: datetime) -> str:
    """`2026-01-31T12:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration_text(seconds: float) -> str:
    """`02:30:00`; fractions of a second are dropped, hours may exceed 99."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}"
