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


class _Chance:
    """Random hex digits, read from the operating system a page at a time: a system call per request is dear."""

    def __init__(self) -> None:
        self.digits = ""
        self.at = 0
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A child process must not say what its parent says."""
        self.digits, self.at = "", 0

    def refill(self) -> None:
        self.digits, self.at = os.urandom(_CHANCE_BYTES).hex(), 0


_CHANCE_BYTES = 4_000
_DIGITS = 19
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The two bits of the variant, and two of chance."""
_chance = _Chance()


def new_request_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    chance = _chance
    start = chance.at
    chance.at = end = start + _DIGITS
    if end > len(chance.digits):
        chance.refill()
        return new_request_id()
    digits = chance.digits
    time_low = f"{time.time_ns() // 1_000_000:012x}"
    return (
        f"{time_low[:8]}-{time_low[8:]}-7{digits[start : start + 3]}-"
        f"{_VARIANT[digits[start + 3]]}{digits[start + 4 : start + 7]}-{digits[start + 7 : end]}"
    )
