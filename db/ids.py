"""Identifiers: UUIDv7, so that ids sort by age (RFC 9562, section 5.7)."""

from uuid_utils import uuid7


def new_id() -> str:
    """A fresh UUIDv7. Those of one process sort as they were made, others by the millisecond."""
    return str(uuid7())
