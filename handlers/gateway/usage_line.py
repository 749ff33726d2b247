"""The metered fact of one request, as it stands in the spool and arrives in `usage_settle`.

The nine fields of the trust page plus the technical ones of G5; the data inventory is generated from this class. Nothing
here can hold content: names of ours, numbers, enumerations.
"""

from __future__ import annotations

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


class _LeaseOnly(msgspec.Struct):
    lease_id: str | None = None


_decode_lease = msgspec.json.Decoder(_LeaseOnly).decode


def lease_of(encoded: bytes) -> str:
    """The lease that an encoded line was held from; empty when there was none."""
    return _decode_lease(encoded).lease_id or ""
