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


_POOL = 256
_chances: list[str] = []
"""What is random in request ids, drawn for many at a time: a system call for each of them would be dear."""
os.register_at_fork(after_in_child=_chances.clear)


def _draw() -> None:
    digits = os.urandom(10 * _POOL).hex()
    _chances.extend(
        f"-7{digits[at : at + 3]}-{_VARIANT[digits[at + 3]]}{digits[at + 4 : at + 7]}-{digits[at + 7 : at + 19]}"
        for at in range(0, len(digits), 20)
    )


_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The two bits of the variant, and two of chance."""


def new_request_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    if not _chances:
        _draw()
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}{_chances.pop()}"
