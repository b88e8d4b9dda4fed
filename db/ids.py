"""Identifiers: UUIDv7, so that ids sort by age (RFC 9562, section 5.7)."""

import os
import time


def new_id() -> str:
    """A fresh UUIDv7; its 60 leading bits are the time, to a quarter of a microsecond."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    tail = (int.from_bytes(os.urandom(8), "big") & (1 << 62) - 1) | 1 << 63
    text = f"{milliseconds << 16 | 0x7000 | fraction:016x}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
