"""What comes in and goes out: one struct for each body, query and answer. A field that is not here is refused (A12)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$")]
ModelPattern = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:/@+*-]{1,128}$")]
Network = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:/]{1,49}$")]
KeyId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z]{16}$")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Nano = Annotated[int, Meta(ge=0, le=10**18)]
Units = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Days = Annotated[int, Meta(ge=1, le=730)]
Role = Literal["owner", "admin", "billing", "member", "viewer", "auditor"]
DataPolicy = Literal["any", "no_training", "zero_retention"]
Reset = Literal["daily", "weekly", "monthly"]
ByokMode = Literal["prefer", "only", "off"]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of everything that a client sends."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The base of everything that a client gets."""


class ErrorFacts(Answer, frozen=True):
    """What is wrong and what to do."""

    code: str
    message: str
    param: str | None = None


class ErrorAnswer(Answer, frozen=True):
    """Every refusal."""

    error: ErrorFacts


class Me(Answer, frozen=True):
    """The caller."""

    tenant_id: str
    user_id: str
    role: str
    scopes: list[str]


class Tenant(Answer, frozen=True):
    """One tenant."""

    tenant_id: str
    name: str
    state: str
    retention_days: int
    byok_mode: str
    data_policy: str
    created_at: datetime


class InspectedTenant(Tenant, frozen=True):
    """One tenant as an operator sees it; that it was looked at is in the tenant's own audit trail."""

    balance_nano: int
    held_nano: int


class TenantChange(Input, frozen=True):
    """Fields that are left out stay."""

    name: Name | None = None
    byok_mode: ByokMode | None = None
    data_policy: DataPolicy | None = None


class TenantNew(Input, frozen=True):
    """A tenant with its first owner."""

    name: Name
    owner_email: Email


class TenantState(Input, frozen=True):
    """Freeze or thaw."""

    state: Literal["active", "frozen"]


class RetentionQuery(Input, frozen=True):
    """A retention to try out."""

    days: Days | None = None


class RetentionChange(Input, frozen=True):
    """`confirm_rows`: how many rows the preview said would go for good."""

    days: Days
    confirm_rows: Count = 0


class Retention(Answer, frozen=True):
    """What is kept, and what a retention of `days` would remove."""

    retention_days: int
    days: int
    rows: int
    rows_removed: int


class User(Answer, frozen=True):
    """One person of the tenant."""

    user_id: str
    email: str
    role: str
    state: str
    created_at: datetime


class UserNew(Input, frozen=True):
    """Somebody to let in."""

    email: Email
    role: Role = "member"


class UserChange(Input, frozen=True):
    """Another role."""

    role: Role


class UserGone(Answer, frozen=True):
    """Removed, or erased: nothing that names the person stays."""

    user_id: str
    erased: bool
