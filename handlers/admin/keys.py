"""Routes about API keys, compatible with OpenRouter's where it has the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

import msgspec
from msgspec import UNSET

from handlers.admin.calls import Call, Route
from handlers.admin.key_shapes import (
    Key,
    KeyAnswer,
    KeyChange,
    KeyList,
    KeyMade,
    KeyNew,
    KeyRotation,
    PageQuery,
)
from handlers.errors import InvalidRequest
from handlers.keys.grammar import generate_key
from handlers.keys.hashing import hash_secret
from handlers.keys.principal import KeyLimits

NANO = 1_000_000_000
_LIMIT_FIELDS = (
    "requests_per_minute", "tokens_per_minute", "concurrent_requests", "models", "ip_ranges", "byok_only", "data_policy",
)  # fmt: skip


class _Row(msgspec.Struct, frozen=True):
    """A key as the database tells it."""

    key_id: str
    user_id: str
    name: str
    state: str
    management: bool
    role: str | None
    replaces: str | None
    limits: KeyLimits
    created_at: datetime
    expires_at: datetime | None
    last_used_day: date | None
    usage_nano: int
    usage_daily_nano: int
    usage_weekly_nano: int
    usage_monthly_nano: int

    def spent_nano(self) -> int:
        """What counts against the limit now."""
        return {
            "daily": self.usage_daily_nano,
            "weekly": self.usage_weekly_nano,
            "monthly": self.usage_monthly_nano,
        }.get(self.limits.spend_period, self.usage_nano)


def to_nano(units: float) -> int:
    """Units of currency as nano-units, by their decimal spelling."""
    return round(Decimal(repr(units)) * NANO)


def to_units(nano: int) -> float:
    """Nano-units for people and for OpenRouter's clients; exact amounts stand beside it."""
    return nano / NANO


def _present(row: _Row) -> Key:
    limits = row.limits
    limit = limits.spend_nano
    return Key(
        key_id=row.key_id,
        hash=row.key_id,
        label=row.name,
        name=row.name,
        disabled=row.state != "active",
        state=row.state,
        management=row.management,
        role=row.role,
        user_id=row.user_id,
        creator_user_id=row.user_id,
        replaces=row.replaces,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_day=row.last_used_day,
        limit=None if limit is None else to_units(limit),
        limit_nano=limit,
        limit_reset=limits.spend_period or None,
        limit_remaining=None if limit is None else to_units(max(limit - row.spent_nano(), 0)),
        usage=to_units(row.usage_nano),
        usage_nano=row.usage_nano,
        usage_daily=to_units(row.usage_daily_nano),
        usage_weekly=to_units(row.usage_weekly_nano),
        usage_monthly=to_units(row.usage_monthly_nano),
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        concurrent_requests=limits.concurrent_requests,
        models=sorted(limits.models),
        ip_ranges=list(limits.ip_ranges),
        byok_only=limits.byok_only,
        data_policy=limits.data_policy,
        is_management_key=row.management,
    )


def _limits_of(fields: KeyNew | KeyChange) -> dict[str, Any]:
    """The limits that a request names, by their stored names; null removes one."""
    given: dict[str, Any] = {
        name: getattr(fields, name) for name in _LIMIT_FIELDS if getattr(fields, name) is not UNSET
    }
    if fields.limit is not UNSET:
        given["spend_nano"] = None if fields.limit is None else to_nano(fields.limit)
    if fields.limit_reset is not UNSET:
        given["spend_period"] = fields.limit_reset or ""
    for network in given.get("ip_ranges", ()):
        _check_network(network)
    return given


def _check_network(text: str) -> None:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise InvalidRequest("An IP range is written as 203.0.113.0/24 or 2001:db8::/32.", param="ip_ranges") from None


def _seconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if aware <= datetime.now(UTC):
        raise InvalidRequest("The time of expiry lies in the past.", param="expires_at")
    return int(aware.timestamp())


def _role_of(call: Call, new: KeyNew) -> str | None:
    if not new.management:
        if new.role is not None:
            raise InvalidRequest("Only a management key has a role.", param="role")
        return None
    return new.role or call.standing.role


def list_keys(call: Call) -> KeyList:
    """The tenant's keys; a member sees its own."""
    query: PageQuery = call.query
    rows = call.ask("control_keys", list[_Row], offset=query.offset, limit=query.limit)
    return KeyList(data=[_present(row) for row in rows])


def create_key(call: Call) -> KeyMade:
    """Make a key. It is shown in this answer alone."""
    new: KeyNew = call.body
    role, limits, expires_at = _role_of(call, new), _limits_of(new), _seconds(new.expires_at)
    if new.limit_reset is not None and new.limit is None:
        raise InvalidRequest(
            "The field limit_reset says when a limit begins anew: send limit, too.", param="limit_reset"
        )
    made = generate_key(call.room.region, call.room.environment, call.room.mint_keys)
    row = call.ask(
        "control_create_key",
        _Row,
        key_id=made.key_id,
        hash=hash_secret(made.secret),
        name=new.name,
        user=new.user_id,
        limits=_encode(msgspec.convert(limits, type=KeyLimits)),
        expires_at=expires_at,
        role=role,
    )
    return KeyMade(data=_present(row), key=made.token)


def show_key(call: Call) -> KeyAnswer:
    """One key."""
    return KeyAnswer(data=_present(call.ask("control_key", _Row, key_id=call.key_id())))


def show_own_key(call: Call) -> KeyAnswer:
    """The key that asks."""
    kind, _, key_id = call.caller.principal.partition(":")
    if kind != "key":
        raise InvalidRequest("Only a key can ask about itself; a person lists the keys.")
    return KeyAnswer(data=_present(call.ask("control_key", _Row, key_id=key_id)))


def change_key(call: Call) -> KeyAnswer:
    """Name, limits and expiry; takes effect everywhere within five seconds."""
    change: KeyChange = call.body
    if change.disabled is True:
        return revoke_key(call)
    named: dict[str, Any] = {"limits": _limits_of(change)}
    if change.name is not UNSET:
        named["name"] = change.name
    if change.expires_at is not UNSET:
        named["expires_at"] = _seconds(change.expires_at)
    row = call.ask("control_change_key", _Row, key_id=call.key_id(), change=_encode(named))
    return KeyAnswer(data=_present(row))


def revoke_key(call: Call) -> KeyAnswer:
    """Revoke a key for good; refused everywhere within five seconds."""
    return KeyAnswer(data=_present(call.ask("control_revoke_key", _Row, key_id=call.key_id())))


def rotate_key(call: Call) -> KeyMade:
    """A successor with the same limits; the old key works on for `overlap_s`."""
    rotation: KeyRotation = call.body
    made = generate_key(call.room.region, call.room.environment, call.room.mint_keys)
    row = call.ask(
        "control_rotate_key",
        _Row,
        key_id=call.key_id(),
        new_id=made.key_id,
        hash=hash_secret(made.secret),
        overlap_s=rotation.overlap_s,
    )
    return KeyMade(data=_present(row), key=made.token)


def _encode(value: Mapping[str, Any] | KeyLimits) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


ROUTES = (
    Route("GET", "/admin/key", "keys:read", "Show the key that asks", show_own_key, KeyAnswer),
    Route("GET", "/admin/keys", "keys:read", "List keys", list_keys, KeyList, query=PageQuery),
    Route("POST", "/admin/keys", "keys:write", "Make a key", create_key, KeyMade, KeyNew, status=201),
    Route("GET", "/admin/keys/<key_id>", "keys:read", "Show a key", show_key, KeyAnswer),
    Route("PATCH", "/admin/keys/<key_id>", "keys:write", "Change a key", change_key, KeyAnswer, KeyChange),
    Route("DELETE", "/admin/keys/<key_id>", "keys:write", "Revoke a key", revoke_key, KeyAnswer),
    Route(
        "POST",
        "/admin/keys/<key_id>/rotation",
        "keys:write",
        "Make a key's successor",
        rotate_key,
        KeyMade,
        KeyRotation,
        status=201,
    ),
)
