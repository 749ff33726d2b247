"""Routes about credit, budgets and use. Sums come from the rollups, which outlive the rows behind them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from handlers.admin.calls import Call, Route, Text, is_uuid, listed
from handlers.admin.keys import to_nano, to_units
from handlers.admin.usage_shapes import (
    ActivityAnswer,
    ActivityQuery,
    ActivityRow,
    Budget,
    BudgetChange,
    Credits,
    CreditsAnswer,
    DaySums,
    Generation,
    GenerationAnswer,
    GenerationQuery,
    UsageAnswer,
    UsageExportRow,
    UsageQuery,
)
from handlers.errors import InvalidRequest, NotFound

DAYS_MAX = 731
DAYS_DEFAULT = 30
ROWS_MAX = 4_000
"""An answer through a load balancer holds 1 MB."""
GROUPINGS = ("model", "provider", "key_id", "user_id")
NOBODY = str(uuid.UUID(int=0))


class _Account(msgspec.Struct, frozen=True):
    balance_nano: int
    held_nano: int
    state: str
    used_nano: int


def show_credits(call: Call) -> CreditsAnswer:
    """What was put in and what was used."""
    account = call.ask("control_credits", _Account)
    return CreditsAnswer(
        data=Credits(
            total_credits=to_units(account.balance_nano + account.used_nano),
            total_usage=to_units(account.used_nano),
            balance_nano=account.balance_nano,
            held_nano=account.held_nano,
            state=account.state,
        )
    )


def list_budgets(call: Call) -> list[Budget]:
    """The budgets and what of them is spent; a member sees its own."""
    return call.ask("control_budgets", list[Budget])


def set_budget(call: Call) -> list[Budget]:
    """Set or remove one; requests that would pass it are refused within five seconds."""
    change: BudgetChange = call.body
    return call.ask(
        "control_set_budget",
        list[Budget],
        user=change.user_id,
        limit_nano=None if change.limit is None else to_nano(change.limit),
        period=change.period,
    )


def show_activity(call: Call) -> ActivityAnswer | Text:
    """Use by day, and by model, provider, key or user."""
    query: ActivityQuery = call.query
    today = datetime.now(UTC).date()
    end = query.on or query.end or today
    start = query.on or query.start or end - timedelta(days=DAYS_DEFAULT)
    if not timedelta(0) <= end - start < timedelta(days=DAYS_MAX):
        raise InvalidRequest(f"A range has from 1 to {DAYS_MAX} days, the first before the last.", param="start")
    rows = call.ask(
        "control_activity",
        list[DaySums],
        **{"from": start, "to": end},
        by=listed(query.by, GROUPINGS, "by"),
        key_id=query.key_id or query.api_key_hash,
        user=query.user_id,
        model=query.model,
    )
    if len(rows) > ROWS_MAX:
        raise InvalidRequest("That is more than one answer holds; ask for fewer days, or for less in `by`.", param="by")
    told = [
        ActivityRow(
            **msgspec.structs.asdict(row), on=row.day, provider_name=row.provider, usage=to_units(row.cost_nano)
        )
        for row in rows
    ]
    return _table(query.format, told, ActivityRow) or ActivityAnswer(data=told)


def export_usage(call: Call) -> UsageAnswer | Text:
    """Every row that is kept, a page at a time."""
    query: UsageQuery = call.query
    after = query.after or NOBODY
    rows = call.ask(
        "control_usage",
        list[UsageExportRow],
        after_ts=moment_of(after),
        after_id=after,
        limit=query.limit,
    )
    following = rows[-1].request_id if len(rows) == query.limit else None
    return _table(query.format, rows, UsageExportRow) or UsageAnswer(data=rows, next=following)


def show_generation(call: Call) -> GenerationAnswer:
    """What is kept about one request."""
    query: GenerationQuery = call.query
    if not is_uuid(query.id):
        raise InvalidRequest("`id` must be the x-request-id of a request (a UUID).", param="id")
    row = call.ask("control_generation", UsageExportRow | None, request=query.id)  # type: ignore[arg-type]
    if row is None:
        raise NotFound("There is no such request, or its row is purged.", param="id")
    return GenerationAnswer(
        data=Generation(
            id=row.request_id,
            created_at=row.ts,
            model=row.model,
            provider_name=row.provider,
            total_cost=to_units(row.cost_nano),
            cost_nano=row.cost_nano,
            tokens_prompt=row.prompt_tokens,
            tokens_completion=row.completion_tokens,
            native_tokens_prompt=row.prompt_tokens,
            native_tokens_completion=row.completion_tokens,
            native_tokens_reasoning=row.reasoning_tokens,
            native_tokens_cached=row.cache_read_tokens,
            latency=row.first_event_ms,
            generation_time=row.latency_ms,
            streamed=row.stream,
            is_byok=row.credential == "byok",
            http_status=row.http_status,
            error_type=row.error_type,
        )
    )


def refuse_content(_call: Call) -> None:
    """Contents are not stored, so nobody can have them."""
    raise NotFound("Prompts and answers are not stored.", code="content_not_stored")


def moment_of(request_id: str) -> datetime:
    """When a request began: the milliseconds in its UUIDv7; the epoch for the zero id."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=uuid.UUID(request_id).int >> 80)


def _table(form: str, rows: Sequence[msgspec.Struct], shape: type[msgspec.Struct]) -> Text | None:
    if form == "jsonl":
        return Text("application/jsonl", "".join(msgspec.json.encode(row).decode() + "\n" for row in rows))
    if form == "csv":
        names = shape.__struct_encode_fields__
        lines = [names, *([msgspec.to_builtins(row)[name] for name in names] for row in rows)]
        return Text("text/csv; charset=utf-8", "".join(_csv_line(line) for line in lines))
    return None


def _csv_line(values: Iterable[Any]) -> str:
    return ",".join(_csv_cell(value) for value in values) + "\r\n"


def _csv_cell(value: object) -> str:
    """One cell; what a spreadsheet would run as a formula is quoted with an apostrophe."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str) and text[:1] in {"=", "+", "-", "@", "\t"}:
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


ROUTES = (
    Route("GET", "/admin/credits", "credits:read", "Show the credit", show_credits, CreditsAnswer),
    Route("GET", "/admin/budgets", "usage:read", "List budgets", list_budgets, list[Budget]),
    Route("PUT", "/admin/budgets", "budgets:write", "Set or remove a budget", set_budget, list[Budget], BudgetChange),
    Route(
        "GET", "/admin/activity", "usage:read", "Show use by day", show_activity, ActivityAnswer, query=ActivityQuery
    ),
    Route("GET", "/admin/usage", "usage:export", "Export what is kept", export_usage, UsageAnswer, query=UsageQuery),
    Route(
        "GET",
        "/admin/generation",
        "usage:read",
        "Show one request",
        show_generation,
        GenerationAnswer,
        query=GenerationQuery,
    ),
    Route("GET", "/admin/generation/content", "usage:read", "Contents are not stored", refuse_content),
)
