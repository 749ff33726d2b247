"""Removes request metadata that is past its tenant's retention, in bounded batches, and makes the coming days' partitions.

Rules
    What is due is the database's word, by the database's clock: a tenant's retention is read with the rows.
    The promised bounds come in the event. A cutoff outside them, or one from a clock that differs from ours by more than
    five minutes, means that the configuration or a clock is wrong: nothing of that tenant is removed and the run fails.
    So does one that would remove more than three times the tenant's busiest day and what its people have agreed to lose:
    whoever has looked at it calls the function with `confirm_rows`.
    A run that would remove more than `ROWS_MAX` stops there and goes on at the next hour; each batch is one transaction.
    What has gone is remembered with the batch, and a signed receipt for it goes into the tenant's audit trail; the receipt of
    a run that was killed is written by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from handlers.operations.database import open_restored_store
from handlers.operations.journal import Outcome, read_event, report
from handlers.operations.sealing import Sealer, open_sealer
from handlers.store.operations import PURGE_BATCH, OperationsStore, PurgeDue, PurgePending

CLOCK_DIFFERENCE_MAX = timedelta(minutes=5)
ROWS_MAX = 5_000_000


class PurgeEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is promised. A tenant that chose nothing has the default, which is the column's."""

    retention_days_default: int
    retention_days_min: int
    retention_days_max: int
    confirm_rows: int = 0
    """How many rows of one tenant may go beyond what is usual: a person's word, never a schedule's."""


class MetadataPurged(Outcome, frozen=True, kw_only=True):
    """What went, and whose rows stayed because their cutoff cannot be right."""

    tenants: int
    rows: int
    cost_nano: int
    refused: tuple[str, ...]
    unusual: tuple[str, ...]
    receipts: int
    partitions_made: int
    partitions_removed: int


class PurgeRefused(RuntimeError):
    """A cutoff, a clock or an amount cannot be right; the log line names the tenants."""


def plausible(due: PurgeDue, event: PurgeEvent, now: datetime) -> bool:
    """Whether a cutoff can come from a retention within the promised days and from a clock like ours."""
    if due.clock is not None and abs(now - due.clock) > CLOCK_DIFFERENCE_MAX:
        return False
    age = now - due.cutoff
    earliest = timedelta(days=event.retention_days_min) - CLOCK_DIFFERENCE_MAX
    latest = timedelta(days=event.retention_days_max) + CLOCK_DIFFERENCE_MAX
    return earliest <= age <= latest


def usual(due: PurgeDue, event: PurgeEvent) -> bool:
    """Whether so many rows may go without a person's word."""
    return due.rows <= max(due.allowed, event.confirm_rows)


def receipt_text(gone: PurgePending, region: str) -> str:
    """What a receipt says."""
    cutoff = gone.cutoff.astimezone(UTC).isoformat(timespec="microseconds")
    return f"therouter.ai/purge/{region}\n{gone.tenant_id}\n{cutoff}\n{gone.rows}\n{gone.cost_nano}\n"


def write_receipts(store: OperationsStore, sealer: Sealer) -> int:
    """Sign for everything that has gone; returns how many receipts were written."""
    pending = store.purge_pending()
    return sum(store.write_receipt(gone, sealer.sign(receipt_text(gone, sealer.region))) for gone in pending)


def purge(store: OperationsStore, event: PurgeEvent, now: datetime, sealer: Sealer) -> MetadataPurged:
    """One run."""
    receipts = write_receipts(store, sealer)
    partitions_made = store.create_partitions()
    due = store.purge_due()
    sound = [row for row in due if plausible(row, event, now)]
    expected = [row for row in sound if usual(row, event)]
    rows = cost_nano = 0
    for tenant in expected:
        while rows < ROWS_MAX:
            removed, worth_nano = store.purge(tenant.tenant_id, tenant.cutoff)
            rows, cost_nano = rows + removed, cost_nano + worth_nano
            if removed < PURGE_BATCH:
                break
    receipts += write_receipts(store, sealer)
    _, partitions_removed = store.tidy()
    return MetadataPurged(
        tenants=len(expected),
        rows=rows,
        cost_nano=cost_nano,
        refused=tuple(row.tenant_id for row in due if row not in sound),
        unusual=tuple(row.tenant_id for row in sound if row not in expected),
        receipts=receipts,
        partitions_made=partitions_made,
        partitions_removed=partitions_removed,
    )


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every hour; safe to repeat and to interrupt."""
    done = purge(open_restored_store(), read_event(event, PurgeEvent), datetime.now(UTC), open_sealer())
    answer = report(done)
    if done.refused or done.unusual:
        raise PurgeRefused("rows were not purged: see this function's last log line for the tenants")
    return answer
