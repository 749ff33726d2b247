"""Removes request metadata that is past its tenant's retention, in bounded batches, and makes the coming days' partitions.

Rules
    What is due is the database's word, by the database's clock: a tenant's retention is read with the rows.
    The promised bounds come in the event. A cutoff outside them, or one from a clock that differs from ours by more than
    five minutes, means that the configuration or a clock is wrong: nothing of that tenant is removed and the run fails.
    A run that would remove more than `ROWS_MAX` stops there and goes on at the next hour; each batch is one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from handlers.operations.database import open_store
from handlers.operations.journal import Outcome, read_event, report
from handlers.store.operations import PURGE_BATCH, OperationsStore, PurgeDue

CLOCK_DIFFERENCE_MAX = timedelta(minutes=5)
ROWS_MAX = 5_000_000


class PurgeEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is promised. A tenant that chose nothing has the default, which is the column's."""

    retention_days_default: int
    retention_days_min: int
    retention_days_max: int


class MetadataPurged(Outcome, frozen=True, kw_only=True):
    """What went, and whose rows stayed because their cutoff cannot be right."""

    tenants: int
    rows: int
    cost_nano: int
    refused: tuple[str, ...]
    partitions_made: int
    partitions_removed: int


class PurgeRefused(RuntimeError):
    """A cutoff was outside the promised days or a clock is wrong; the log line names the tenants."""


def plausible(due: PurgeDue, event: PurgeEvent, now: datetime) -> bool:
    """Whether a cutoff can come from a retention within the promised days and from a clock like ours."""
    age = now - due.cutoff
    earliest = timedelta(days=event.retention_days_min) - CLOCK_DIFFERENCE_MAX
    latest = timedelta(days=event.retention_days_max) + CLOCK_DIFFERENCE_MAX
    return earliest <= age <= latest


def purge(store: OperationsStore, event: PurgeEvent, now: datetime) -> MetadataPurged:
    """One run."""
    partitions_made = store.create_partitions()
    due = store.purge_due()
    sound = [row for row in due if plausible(row, event, now)]
    rows = cost_nano = 0
    for tenant in sound:
        while rows < ROWS_MAX:
            removed, worth_nano = store.purge(tenant.tenant_id, tenant.cutoff)
            rows, cost_nano = rows + removed, cost_nano + worth_nano
            if removed < PURGE_BATCH:
                break
    _, partitions_removed = store.tidy()
    return MetadataPurged(
        tenants=len(sound),
        rows=rows,
        cost_nano=cost_nano,
        refused=tuple(row.tenant_id for row in due if not plausible(row, event, now)),
        partitions_made=partitions_made,
        partitions_removed=partitions_removed,
    )


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every hour; safe to repeat and to interrupt."""
    done = purge(open_store(), read_event(event, PurgeEvent), datetime.now(UTC))
    answer = report(done)
    if done.refused:
        raise PurgeRefused("rows were not purged: see this function's last log line for the tenants")
    return answer
