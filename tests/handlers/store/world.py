"""Makes tenants, keys, credit and usage lines for tests of the store."""

from __future__ import annotations

import os
import time
import uuid
from typing import NamedTuple

import bcrypt
import msgspec

from handlers.keys.principal import KeyLimits
from handlers.store.admin import AdminStore
from handlers.store.pool import Pool

BCRYPT_OF_NOTHING = bcrypt.hashpw(b"", bcrypt.gensalt(4)).decode("ascii")


class Tenant(NamedTuple):
    """The ids of one tenant with one user and one key."""

    tenant_id: str
    user_id: str
    key_id: str


def new_request_id(at_ms: int | None = None) -> str:
    """A UUIDv7."""
    milliseconds = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    low = int.from_bytes(os.urandom(8), "big") >> 2
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | int.from_bytes(os.urandom(1), "big") << 64 | 2 << 62 | low))


def make_tenant(pool: Pool, *, credit_nano: int = 0, limits: KeyLimits | None = None) -> Tenant:
    """A tenant, through the admin room's functions; `pool` is of the role admin."""
    admin = AdminStore(pool)
    tenant = Tenant(str(uuid.uuid4()), str(uuid.uuid4()), "u" + uuid.uuid4().hex[:15])
    admin.create_tenant(tenant.tenant_id, "Example")
    admin.create_user(tenant.user_id, tenant.tenant_id, "person@example.com", "owner")
    admin.create_key(tenant.key_id, tenant.tenant_id, tenant.user_id, "first", BCRYPT_OF_NOTHING, limits=limits)
    if credit_nano:
        admin.adjust_credit(f"start.{tenant.key_id}", tenant.tenant_id, credit_nano, "promotion")
    return tenant


def usage_line(tenant: Tenant, cost_nano: int, **changes: object) -> bytes:
    """A spool line of a small chat request."""
    line: dict[str, object] = {
        "request_id": new_request_id(),
        "tenant_id": tenant.tenant_id,
        "user_id": tenant.user_id,
        "key_id": tenant.key_id,
        "model": "openai/gpt-4o-mini",
        "provider": "openai",
        "prompt_tokens": 12,
        "completion_tokens": 34,
        "cache_read_tokens": 5,
        "cache_write_tokens": 0,
        "reasoning_tokens": 3,
        "cost_nano": cost_nano,
        "latency_ms": 321,
        "first_event_ms": 123,
        "http_status": 200,
        "error_type": None,
        "stream": True,
        "estimated": False,
        "credential": "shared",
        "attempts": 1,
        "price_version": "genai-prices/1",
        "lease_id": None,
        "final": True,
    }
    return msgspec.json.encode(line | changes)
