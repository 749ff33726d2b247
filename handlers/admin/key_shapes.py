"""What comes in and goes out about keys and provider keys."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from handlers.admin.shapes import (
    Answer,
    Count,
    DataPolicy,
    Input,
    KeyId,
    ModelPattern,
    Name,
    Network,
    Reset,
    Role,
    Slug,
    Units,
    Uuid,
)


class KeyNew(Input, frozen=True):
    """`limit` is in units of the region's currency and starts anew at each `limit_reset` (UTC, weeks from Monday)."""

    name: Name
    user_id: Uuid | None = None
    limit: Units | None = None
    limit_reset: Reset | None = None
    expires_at: datetime | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_requests: Count | None = None
    models: Annotated[list[ModelPattern], Meta(max_length=100)] = msgspec.field(default_factory=list)
    ip_ranges: Annotated[list[Network], Meta(max_length=100)] = msgspec.field(default_factory=list)
    byok_only: bool = False
    data_policy: DataPolicy = "any"
    management: bool = False
    role: Role | None = None
    """Of a management key; the caller's own when left out."""


class KeyChange(Input, frozen=True):
    """Fields that are left out stay; null removes a limit."""

    name: Name | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    """true revokes the key for good."""
    limit: Units | UnsetType | None = UNSET
    limit_reset: Reset | UnsetType | None = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    requests_per_minute: Count | UnsetType | None = UNSET
    tokens_per_minute: Count | UnsetType | None = UNSET
    concurrent_requests: Count | UnsetType | None = UNSET
    models: Annotated[list[ModelPattern], Meta(max_length=100)] | UnsetType = UNSET
    ip_ranges: Annotated[list[Network], Meta(max_length=100)] | UnsetType = UNSET
    byok_only: bool | UnsetType = UNSET
    data_policy: DataPolicy | UnsetType = UNSET


class KeyRotation(Input, frozen=True):
    """For how long the old key works on."""

    overlap_s: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400


class Key(Answer, frozen=True):
    """One key, never its secret. `hash` is OpenRouter's word for a key's id; money is in units, exact as `..._nano`."""

    key_id: str
    hash: str
    label: str
    name: str
    disabled: bool
    state: str
    management: bool
    role: str | None
    user_id: str
    creator_user_id: str
    replaces: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_day: date | None
    limit: float | None
    limit_nano: int | None
    limit_reset: str | None
    limit_remaining: float | None
    usage: float
    usage_nano: int
    usage_daily: float
    usage_weekly: float
    usage_monthly: float
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_requests: int | None
    models: list[str]
    ip_ranges: list[str]
    byok_only: bool
    data_policy: str
    is_management_key: bool


class KeyAnswer(Answer, frozen=True):
    """One key."""

    data: Key


class KeyList(Answer, frozen=True):
    """A page of keys, oldest first."""

    data: list[Key]


class KeyMade(Answer, frozen=True):
    """A new key. `key` is shown this once and stored nowhere."""

    data: Key
    key: str


class PageQuery(Input, frozen=True):
    """A page."""

    offset: Count = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 100


class ByokScope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Which requests may use the provider key; null allows all, an empty list none."""

    models: Annotated[list[ModelPattern], Meta(max_length=100)] | None = None
    keys: Annotated[list[KeyId], Meta(max_length=100)] | None = None
    users: Annotated[list[Uuid], Meta(max_length=100)] | None = None


class ByokNew(Input, frozen=True):
    """`key` is sealed for the provider's room before it is stored; nobody can read it here again."""

    provider: Slug
    key: Annotated[str, Meta(min_length=8, max_length=8192)]
    label: Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] = ""
    scope: ByokScope = ByokScope()


class ByokChange(Input, frozen=True):
    """Fields that are left out stay. A `key` replaces the old one at once."""

    key: Annotated[str, Meta(min_length=8, max_length=8192)] | None = None
    label: Annotated[str, Meta(max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] | None = None
    scope: ByokScope | None = None
    disabled: bool | None = None


class ByokCheck(Answer, frozen=True):
    """What the provider said of the key; `due`: it is about to be asked (again)."""

    due: bool
    verdict: Literal["valid", "invalid_key", "cannot_tell"] | None
    """valid: a minimal call succeeded. invalid_key: the provider refused the key. Null: not asked yet."""
    checked_at: datetime | None


class ByokRecord(Answer, frozen=True):
    """One provider key; `digest` lets its owner recognise it (POST /admin/audit/digest)."""

    record_id: str
    provider: str
    label: str
    scope: ByokScope
    state: str
    digest: str
    key_version: int
    created_at: datetime
    check: ByokCheck | None
    """Null once the record is deleted."""
