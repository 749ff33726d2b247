"""What comes in and goes out about money, use, the audit trail and the account."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from handlers.admin.shapes import Answer, Input, KeyId, ModelPattern, Name, Units, Uuid


class BudgetChange(Input, frozen=True):
    """The most that the tenant, or one user of it, may spend in a period; null removes the budget."""

    limit: Units | None
    period: Literal["daily", "weekly", "monthly", "total"] = "monthly"
    user_id: Uuid | None = None


class Budget(Answer, frozen=True):
    """One budget and what of it is spent; `user_id` null: the tenant's."""

    user_id: str | None
    period: str
    limit_nano: int
    spent_nano: int


class Credits(Answer, frozen=True):
    """As OpenRouter says it, and exactly."""

    total_credits: float
    total_usage: float
    balance_nano: int
    held_nano: int
    state: str


class CreditsAnswer(Answer, frozen=True):
    """The account's credit."""

    data: Credits


class ActivityQuery(Input, frozen=True):
    """Days are UTC and inclusive; at most 731 of them. `by` names further columns, separated by commas."""

    on: date | None = msgspec.field(name="date", default=None)
    start: date | None = None
    end: date | None = None
    by: Annotated[str, Meta(pattern=r"^[a-z_,]{0,64}$")] = "model,provider"
    key_id: KeyId | None = None
    api_key_hash: KeyId | None = None
    """OpenRouter's word for `key_id`."""
    user_id: Uuid | None = None
    model: ModelPattern | None = None
    format: Literal["json", "csv", "jsonl"] = "json"


class DaySums(Answer, frozen=True):
    """Sums of one day."""

    day: date
    model: str | None
    provider: str | None
    key_id: str | None
    user_id: str | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_nano: int


class ActivityRow(DaySums, frozen=True):
    """The same, and what OpenRouter calls it: `usage` is in units of the region's currency."""

    on: date = msgspec.field(name="date")
    provider_name: str | None
    usage: float


class ActivityAnswer(Answer, frozen=True):
    """Use by day."""

    data: list[ActivityRow]


class UsageQuery(Input, frozen=True):
    """A page of rows after the request id `after`, oldest first."""

    after: Uuid | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500
    format: Literal["json", "csv", "jsonl"] = "json"


class UsageExportRow(Answer, frozen=True):
    """Everything that is kept about one request."""

    ts: datetime
    request_id: str
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


class UsageAnswer(Answer, frozen=True):
    """One page; `next` is null on the last one."""

    data: list[UsageExportRow]
    next: str | None


class GenerationQuery(Input, frozen=True):
    """Which request: its `x-request-id`."""

    id: Annotated[str, Meta(max_length=128)]


class Generation(Answer, frozen=True):
    """One request in OpenRouter's words; its content is stored nowhere."""

    id: str
    created_at: datetime
    model: str
    provider_name: str
    total_cost: float
    cost_nano: int
    tokens_prompt: int
    tokens_completion: int
    native_tokens_prompt: int
    native_tokens_completion: int
    native_tokens_reasoning: int
    native_tokens_cached: int
    latency: int | None
    generation_time: int
    streamed: bool
    is_byok: bool
    http_status: int
    error_type: str


class GenerationAnswer(Answer, frozen=True):
    """One request."""

    data: Generation


class AuditQuery(Input, frozen=True):
    """Rows after the number `after`."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class AuditRow(Answer, frozen=True):
    """One row: `record` is the text that its hash covers."""

    seq: int
    record: str
    leaf: str
    chain: str


class AuditAnswer(Answer, frozen=True):
    """The tenant's rows, oldest first."""

    data: list[AuditRow]
    not_covered: list[str]


class DigestRequest(Input, frozen=True):
    """A secret whose digest is wanted; it is neither stored nor logged."""

    value: Annotated[str, Meta(min_length=8, max_length=8192)]


class Digest(Answer, frozen=True):
    """As it stands in the audit trail and in provider keys; `earlier`: as it stands where it was noted under a key of before."""

    digest: str
    earlier: list[str]


class InventoryField(Answer, frozen=True):
    """One field that is kept about a request."""

    name: str
    kind: str
    meaning: str


class Inventory(Answer, frozen=True):
    """What is kept, for how long, and what never is."""

    fields: list[InventoryField]
    retention_days: int
    purge: str
    never: list[str]


class CloseRequest(Input, frozen=True):
    """`confirm` is the tenant's name."""

    confirm: Name


class Closed(Answer, frozen=True):
    """The account is closed; its usage rows go with the next purge."""

    tenant_id: str
    state: str
