"""Routes about limits per minute, what is watched in spending, and what a tenant pays beyond the list price."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from handlers.admin.calls import Call, Route
from handlers.admin.keys import to_nano
from handlers.admin.spending_shapes import (
    Alert,
    AlertQuery,
    Limits,
    LimitsChange,
    Pricing,
    PricingChange,
    Spending,
    SpendingChange,
)


def list_limits(call: Call) -> list[Limits]:
    """The limits of the tenant and of its users; those of a key are with the key."""
    return call.ask("control_limits", list[Limits])


def set_limits(call: Call) -> list[Limits]:
    """Set all limits of the tenant or of one user, or remove them; they hold everywhere within five seconds."""
    change: LimitsChange = call.body
    return call.ask(
        "control_set_limits",
        list[Limits],
        user=change.user_id,
        requests=change.requests_per_minute,
        tokens=change.tokens_per_minute,
        concurrent=change.concurrent_requests,
    )


def show_spending(call: Call) -> Spending:
    """What is watched, what is paid, and which keys are stopped."""
    return call.ask("control_spending", Spending)


def set_spending(call: Call) -> Spending:
    """Decide at which shares of a budget somebody is told, what is unusual, and what is a low balance."""
    change: SpendingChange = call.body
    named: dict[str, Any] = {
        "thresholds": change.thresholds,
        "unusual_factor": change.unusual_factor,
        "unusual_floor_nano": _nano(change.unusual_floor),
        "low_balance_nano": _nano(change.low_balance),
    }
    given = {name: value for name, value in named.items() if value is not UNSET}
    return call.ask("control_set_spending", Spending, change=msgspec.json.encode(given).decode())


def _nano(units: Any) -> Any:
    return to_nano(units) if isinstance(units, int | float) else units


def list_alerts(call: Call) -> list[Alert]:
    """What somebody should know about spending, newest first."""
    query: AlertQuery = call.query
    return call.ask("control_alerts", list[Alert], limit=query.limit)


def confirm_key(call: Call) -> Spending:
    """Let a key go on that was stopped because it spent unusually much."""
    return call.ask("control_confirm_key", Spending, key_id=call.key_id())


def set_pricing(call: Call) -> Pricing:
    """What a tenant pays beyond the list price; the tenant's own trail says who changed it."""
    change: PricingChange = call.body
    return call.ask(
        "control_set_pricing",
        Pricing,
        tenant=call.uuid("tenant_id"),
        markup_ppm=change.markup_ppm,
        byok_fee_ppm=change.byok_fee_ppm,
    )


ROUTES = (
    Route("GET", "/admin/limits", "budgets:read", "List limits per minute", list_limits, list[Limits]),
    Route("PUT", "/admin/limits", "budgets:write", "Set or remove limits", set_limits, list[Limits], LimitsChange),
    Route("GET", "/admin/spending", "budgets:read", "Show what is watched in spending", show_spending, Spending),
    Route(
        "PATCH",
        "/admin/spending",
        "budgets:write",
        "Decide what is watched in spending",
        set_spending,
        Spending,
        SpendingChange,
    ),
    Route("GET", "/admin/alerts", "budgets:read", "List alerts", list_alerts, list[Alert], query=AlertQuery),
    Route(
        "POST", "/admin/keys/<key_id>/confirmation", "budgets:write", "Let a stopped key go on", confirm_key, Spending
    ),
    Route(
        "PATCH",
        "/admin/tenants/<tenant_id>/pricing",
        "tenants:write",
        "Set what a tenant pays (operators)",
        set_pricing,
        Pricing,
        PricingChange,
        dangerous=True,
    ),
)
