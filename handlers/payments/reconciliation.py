"""Once a day: is what we say was paid what the company says was paid? A difference is told loudly.

Each payment that the company lists is applied like any other notice, so that what every notification and question has missed
is credited now. What we say was paid and the company does not list is credit without money: nothing repairs that, a person looks.
Its order is flagged, as is one that contradicts the company; the nightly comparison of all sums (handlers.operations.reconcile)
fails on a flagged order, and on a day with payments that nobody compared for six days, and that pages.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter

import msgspec

from handlers.errors import InvalidRequest
from handlers.payments.company import Company, Kind
from handlers.payments.intake import Intake
from handlers.store.payments import PaymentStore
from handlers.telemetry.logs import Level, Log, PaymentNoted, identifier

DAY_S = 86_400
EARLIER_S = DAY_S
"""A payment may begin on the company's side so long before the moment that we call paid."""
LATER_S = 3_600
"""Clocks differ."""


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """One day compared."""

    day: str
    listed: int
    """Payments that the company lists for the day and the days beside it."""
    repaired: int
    """Credited only now."""
    mismatched: int
    """They contradict their order, and are flagged there."""
    foreign: int
    """Of no order of ours: another application of the same merchant, perhaps."""
    missing: int
    """Paid according to us and not according to the company."""


class Reconciliation:
    """Compares a day."""

    def __init__(self, store: PaymentStore, company: Company, intake: Intake, log: Log) -> None:
        self._store = store
        self._company = company
        self._intake = intake
        self._log = log

    def complete_day(self, now_s: float) -> str:
        """The last day (UTC) of which the company's list is complete."""
        return (
            dt.datetime.fromtimestamp(now_s, dt.UTC).date() - dt.timedelta(days=self._company.list_days)
        ).isoformat()

    def run_due(self, now_s: float) -> Reconciled:
        """Compare every day with payments that was missed before, and the last one that is complete; returns that one.

        Raises:
            Unavailable: the company cannot answer now; what is left is done the next time.
        """
        last = self.complete_day(now_s)
        for day in self._store.uncompared_days(self._company.provider, last):
            if day != last:
                self.run(day)
        return self.run(last)

    def run(self, day: str) -> Reconciled:
        """Compare one day (UTC, `2026-11-22`); any number of times with the same result.

        Raises:
            InvalidRequest: the day is none.
            Unavailable: the company cannot answer now.
        """
        try:
            begin = dt.datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=dt.UTC)
        except ValueError:
            raise InvalidRequest("A day is written 2026-11-22.", param="day") from None
        since_s = int(begin.timestamp())
        outcomes: Counter[str] = Counter()
        seen: set[tuple[str, int]] = set()
        for notice in self._company.list_paid(since_s - EARLIER_S, since_s + DAY_S + LATER_S):
            if notice.kind is Kind.PAID:
                seen.add((notice.company_payment, notice.amount_minor))
                outcomes[self._intake.apply(notice)] += 1
        missing = [
            order
            for order in self._store.list_paid(self._company.provider, since_s, since_s + DAY_S)
            if (order.company_payment, order.amount_minor) not in seen
        ]
        for order in missing:
            self._store.flag_missing(order.order_id)
            self._tell(order.order_id)
        done = Reconciled(
            day=day,
            listed=outcomes.total(),
            repaired=outcomes["credited"],
            mismatched=outcomes["mismatch"],
            foreign=outcomes["unknown_order"],
            missing=len(missing),
        )
        self._store.note_comparison(
            self._company.provider, day, listed=done.listed, repaired=done.repaired, missing=done.missing
        )
        return done

    def _tell(self, order_id: str) -> None:
        self._log.emit(
            PaymentNoted(
                level=Level.ERROR,
                provider=identifier(self._company.provider),
                kind=identifier("paid"),
                outcome=identifier("missing_at_company"),
                order_id=identifier(order_id),
            )
        )
