"""Watches spending: budgets at 50, 80 and 100 per cent, balances that run low, keys that spend unusually much.

Each is a row that its tenant can read, and one log line with a count, which the deployment's alarms and notices hang on. A line may
come twice if this function dies between saying and noting it, and is never missing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from handlers.operations.database import open_store
from handlers.operations.journal import Outcome, read_event, report

ALERTS_MAX = 500
"""Said in one run; the others follow in the next."""


class SpendingEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to tell."""


class BudgetReached(Outcome, frozen=True, kw_only=True):
    """So much of a budget is spent."""

    tenant: str
    scope: str
    subject: str
    percent: int
    spent_nano: int
    limit_nano: int


class BalanceLow(Outcome, frozen=True, kw_only=True):
    """A balance is below what its tenant wants to be told of."""

    tenant: str
    balance_nano: int
    low_balance_nano: int


class KeyStopped(Outcome, frozen=True, kw_only=True):
    """A key spent unusually much and waits for somebody to confirm it."""

    tenant: str
    key_id: str
    hour_nano: int
    usual_nano: int


class SpendingWatched(Outcome, frozen=True, kw_only=True):
    """What one run found."""

    alerts: int
    stopped: int
    said: int


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every few minutes; safe to repeat."""
    read_event(event, SpendingEvent)
    store = open_store()
    stopped = store.stop_unusual()
    raised = store.raise_alerts()
    alerts = store.unnoticed(ALERTS_MAX)
    for alert in alerts:
        tenant, spent, limit = alert.tenant_id, alert.spent_nano, alert.limit_nano
        if alert.kind == "key_stopped":
            report(KeyStopped(tenant=tenant, key_id=alert.subject, hour_nano=spent, usual_nano=limit))
        elif alert.kind == "low_balance":
            report(BalanceLow(tenant=tenant, balance_nano=spent, low_balance_nano=limit))
        else:
            report(
                BudgetReached(
                    tenant=tenant,
                    scope=alert.scope,
                    subject=alert.subject,
                    percent=alert.percent,
                    spent_nano=spent,
                    limit_nano=limit,
                )
            )
    store.noticed(alerts)
    return report(SpendingWatched(alerts=raised, stopped=stopped, said=len(alerts)))
