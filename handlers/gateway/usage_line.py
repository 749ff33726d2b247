"""The metered fact of one request, as it stands in the spool and arrives in `usage_settle`.

The nine fields of the trust page plus the technical ones of G5; the data inventory is generated from this class. Nothing
here can hold content: names of ours, numbers, enumerations.
"""

from __future__ import annotations

import os
import time

import msgspec


class UsageLine(msgspec.Struct, frozen=True):
    """One line. The request id is a UUIDv7 whose embedded time is the row's timestamp."""

    request_id: str
    tenant_id: str
    user_id: str
    key_id: str
    model: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_nano: int
    latency_ms: int
    first_event_ms: int | None
    http_status: int
    error_type: str | None
    stream: bool
    estimated: bool
    credential: str
    attempts: int
    price_version: str
    lease_id: str | None
    final: bool = True


encode_usage_line = msgspec.json.Encoder().encode


def new_request_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    bits = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (bits >> 68 & 0xFFF) << 64 | 0b10 << 62 | bits & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
