"""Releases money that a lost request still holds: leases that are past their end, in bounded batches."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from handlers.operations.database import open_store
from handlers.operations.journal import Outcome, read_event, report


class ReapEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to tell."""


class HoldsReaped(Outcome, frozen=True, kw_only=True):
    """How many holds were released."""

    released: int


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every few minutes; safe to repeat."""
    read_event(event, ReapEvent)
    return report(HoldsReaped(released=open_store().reap()))
