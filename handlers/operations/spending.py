"""Watches spending: budgets at their tenant's thresholds, balances that run low, keys that spend unusually much.

Each is a row that its tenant can read, a log line with a count, which the deployment's alarms hang on, and a notice to those whom
it concerns. A row is made once for each threshold, limit and period, and everybody is told of it once: what was sent is noted
for each person before the next is sent. Only if this function dies, or loses the database, between sending and noting may that
one notice come twice; none is ever missing. A notice that the mail service does not take is sent again in ten minutes. Where no
sender is set, the row and the log line are all there is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from handlers.clouds.mail import Mailbox, MailFailed, NoMailbox, open_mailbox
from handlers.operations.database import open_restored_store
from handlers.operations.journal import Outcome, read_event, report
from handlers.operations.notices import notice_of
from handlers.settings import Deployment
from handlers.store.operations import Alert, OperationsStore

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


class NoticeFailed(Outcome, frozen=True, kw_only=True):
    """The mail service did not take a notice; it is sent again."""

    tenant: str


class SpendingWatched(Outcome, frozen=True, kw_only=True):
    """What one run found, and how many notices it sent."""

    alerts: int
    stopped: int
    said: int
    sent: int


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every few minutes; safe to repeat, and to run twice at once."""
    read_event(event, SpendingEvent)
    deployment = Deployment.parse(os.environ)
    store, mailbox = open_restored_store(), open_mailbox(deployment, os.environ)
    stopped = store.stop_unusual()
    raised = store.raise_alerts()
    alerts = store.claim_alerts(ALERTS_MAX)
    sent = 0
    for alert in alerts:
        try:
            sent += _tell(store, mailbox, alert, deployment.region)
        except MailFailed:
            report(NoticeFailed(tenant=alert.tenant_id))
            continue
        report(_outcome(alert))
        store.noticed(alert)
    return report(SpendingWatched(alerts=raised, stopped=stopped, said=len(alerts), sent=sent))


def _tell(store: OperationsStore, mailbox: Mailbox, alert: Alert, region: str) -> int:
    """Send an alert to everybody who has not been told; returns how many that were."""
    readers = [] if isinstance(mailbox, NoMailbox) else store.alert_readers(alert)
    for reader in readers:
        mailbox.send(notice_of(alert, reader.address, region))
        store.told(alert, reader)
    return len(readers)


def _outcome(alert: Alert) -> Outcome:
    tenant, spent, limit = alert.tenant_id, alert.spent_nano, alert.limit_nano
    if alert.kind == "key_stopped":
        return KeyStopped(tenant=tenant, key_id=alert.subject, hour_nano=spent, usual_nano=limit)
    if alert.kind == "low_balance":
        return BalanceLow(tenant=tenant, balance_nano=spent, low_balance_nano=limit)
    return BudgetReached(
        tenant=tenant,
        scope=alert.scope,
        subject=alert.subject,
        percent=alert.percent,
        spent_nano=spent,
        limit_nano=limit,
    )
