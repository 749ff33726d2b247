"""Every sum of money that must agree, compared each night: usage, entries, balances, and what the orders say was paid.

That the orders agree with the payment company's own list is compared by the payment room (`handlers.payments.reconciliation`), which
flags an order that does not; a flagged order is a difference here. A difference ends in an error, which pages.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from handlers.operations.database import open_store
from handlers.operations.journal import Outcome, read_event, report


class ReconcileEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to tell."""


class LedgerReconciled(Outcome, frozen=True, kw_only=True):
    """Everything agrees."""

    rules: int


class LedgerDiffers(Outcome, frozen=True, kw_only=True):
    """Sums that differ, and by how much (nano-units, or a count)."""

    rules: int
    differences: dict[str, int]


class SumsDiffer(RuntimeError):
    """Money is wrong somewhere; the last log line names the rules."""


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every night; reads only."""
    read_event(event, ReconcileEvent)
    sums = open_store().reconcile()
    differences = {row.rule: row.difference for row in sums if row.difference}
    if differences:
        report(LedgerDiffers(rules=len(sums), differences=differences))
        raise SumsDiffer("sums of money differ: see this function's last log line for the rules")
    return report(LedgerReconciled(rules=len(sums)))
