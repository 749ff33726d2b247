"""The usage row: what is kept about one request.

Exactly the data inventory of the trust page; no field can hold content. Amounts are nano-units, times milliseconds. What
goes in is a JSON object with the same fields and `lease_id` (the SQL type `usage_line`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class UsageRow(msgspec.Struct, frozen=True):
    """One recorded request."""

    ts: datetime
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
    error_type: str
    stream: bool
    estimated: bool
    credential: str
    attempts: int
    price_version: str
    final: bool


def usage_row(columns: tuple[Any, ...]) -> UsageRow:
    """A row of `usage_event`, in the order of its columns."""
    ts, request_id, tenant_id, user_id, *rest = columns
    return UsageRow(ts, str(request_id), str(tenant_id), str(user_id), *rest)
