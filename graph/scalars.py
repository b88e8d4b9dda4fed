"""Scalars: times that end in Z, durations as HH:MM:SS, and JSON."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from db.spelling import duration_text

DateTime = NewType("DateTime", datetime)
Duration = NewType("Duration", int)
Json = NewType("Json", object)
BigInt = NewType("BigInt", int)

_DURATION = re.compile(r"(\d{1,6}):([0-5]\d):([0-5]\d)")


def precise(moment: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`; without the fraction when it is zero."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def scalars(time_text: Callable[[datetime], str]) -> Mapping[object, ScalarDefinition]:
    """The scalars of a schema that spells its times in this way."""
    return {
        DateTime: strawberry.scalar(
            name="DateTime",
            description="A time in UTC, ISO 8601: `2026-01-31T12:00:00Z`.",
            serialize=time_text,
            parse_value=_parse_time,
        ),
        Duration: strawberry.scalar(
            name="Duration",
            description="A length of time as hours, minutes and seconds: `02:30:00`.",
            serialize=duration_text,
            parse_value=_parse_duration,
        ),
        BigInt: strawberry.scalar(
            name="BigInt",
            description="A whole number of up to 53 bits, as a JSON number.",
            serialize=int,
            parse_value=int,
        ),
        Json: strawberry.scalar(
            name="JSON",
            description="Any JSON value.",
            specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
            serialize=lambda value: value,
            parse_value=lambda value: value,
        ),
    }


def _parse_time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("A time is text: 2026-01-31T12:00:00Z")
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_duration(value: Any) -> int:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError("A duration is written HH:MM:SS")
    hours, minutes, seconds = map(int, found.groups())
    return hours * 3600 + minutes * 60 + seconds
