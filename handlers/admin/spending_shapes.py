"""What comes in and goes out about limits per minute and about what is watched in spending."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from handlers.admin.shapes import Answer, Count, Input, Nano, Units, Uuid

Percent = Annotated[int, Meta(ge=1, le=100)]
Ppm = Annotated[int, Meta(ge=0, le=10_000_000)]
FeePpm = Annotated[int, Meta(ge=0, le=1_000_000)]


class LimitsChange(Input, frozen=True):
    """All limits of the tenant, or of one user of it, over all of their keys together; null: none."""

    user_id: Uuid | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_requests: Count | None = None


class Limits(Answer, frozen=True):
    """Limits of the tenant (`user_id` null) or of one user. A key's own are with the key."""

    user_id: str | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_requests: int | None


class SpendingChange(Input, frozen=True):
    """Fields that are left out stay; null turns a watch off. Money is in units of the region's currency."""

    thresholds: Annotated[list[Percent], Meta(min_length=1, max_length=5)] | UnsetType = UNSET
    """At which percentages of a budget somebody is told."""
    unusual_factor: Annotated[int, Meta(ge=2, le=10000)] | UnsetType | None = UNSET
    """A key is stopped when it spends more in an hour than so many average hours of the week before."""
    unusual_floor: Units | UnsetType = UNSET
    """Less than this in an hour is never unusual."""
    low_balance: Units | UnsetType | None = UNSET
    """Somebody is told when the balance is below this."""


class StoppedKey(Answer, frozen=True):
    """A key that spent unusually much and waits for a confirmation."""

    key_id: str
    hour_nano: int
    usual_nano: int
    stopped_at: datetime


class Spending(Answer, frozen=True):
    """What is watched, what is paid beyond the list price (parts per million), and which keys are stopped."""

    thresholds: list[int]
    unusual_factor: int | None
    unusual_floor_nano: Nano
    low_balance_nano: Nano | None
    markup_ppm: int
    byok_fee_ppm: int
    stopped_keys: list[StoppedKey]


class Alert(Answer, frozen=True):
    """Something about money that somebody should know; `noticed`: those whom it concerns have been told."""

    raised_at: datetime
    kind: str
    scope: str
    subject: str
    percent: int
    period: str
    spent_nano: int
    limit_nano: int
    noticed: bool


class AlertQuery(Input, frozen=True):
    """How many, newest first."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class PricingChange(Input, frozen=True):
    """Fields that are left out stay."""

    markup_ppm: Ppm | None = None
    """Added to the list price, in parts per million."""
    byok_fee_ppm: FeePpm | None = None
    """Paid where the tenant's own provider key serves, in parts per million of the list price."""


class Pricing(Answer, frozen=True):
    """What a tenant pays beyond the list price."""

    tenant_id: str
    markup_ppm: int
    byok_fee_ppm: int
