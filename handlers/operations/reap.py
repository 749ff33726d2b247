"""What is past its end goes: money that a lost request still holds, and credit that was given until a day."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from handlers.operations.database import open_store
from handlers.operations.journal import Outcome, read_event, report


class ReapEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to tell."""


class HoldsReaped(Outcome, frozen=True, kw_only=True):
    """What went."""

    released: int
    """Holds."""
    expired: int
    """Grants of credit."""
    expired_nano: int


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every few minutes; safe to repeat."""
    read_event(event, ReapEvent)
    store = open_store()
    released = store.reap()
    expired, expired_nano = store.expire_credit()
    return report(HoldsReaped(released=released, expired=expired, expired_nano=expired_nano))
