"""What the schedules ask of PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from handlers.store.pool import Pool

REAP_BATCH = 1_000
PARTITION_DAYS_AHEAD = 14
PURGE_BATCH = 5_000


class PurgeDue(NamedTuple):
    """Rows of one tenant that are past its retention."""

    tenant_id: str
    cutoff: datetime
    rows: int


class OperationsStore:
    """The operations room's façade; blocking."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def reap(self) -> int:
        """Void expired leases; returns how many."""
        total = 0
        while True:
            reaped = int(self._pool.run("credit_reap", limit=REAP_BATCH)[0][0])
            total += reaped
            if reaped < REAP_BATCH:
                return total

    def create_partitions(self, days_ahead: int = PARTITION_DAYS_AHEAD) -> int:
        """Make the coming days' partitions; returns how many were missing."""
        return int(self._pool.run("operations_create_partitions", days_ahead=days_ahead)[0][0])

    def purge_due(self) -> list[PurgeDue]:
        """What the purge would remove now, by the database's clock."""
        return [PurgeDue(str(tenant), cutoff, rows) for tenant, cutoff, rows in self._pool.run("usage_purge_due")]

    def purge(self, tenant_id: str, cutoff: datetime, limit: int = PURGE_BATCH) -> tuple[int, int]:
        """Remove a batch of a tenant's rows from before the cutoff; returns (rows, nano-units that they had cost).

        A batch is one transaction and may be repeated or interrupted at will. Conflict when the cutoff lies within the
        tenant's retention.
        """
        requests, cost_nano = self._pool.run("usage_purge", tenant=tenant_id, cutoff=cutoff, limit=limit)[0]
        return int(requests), int(cost_nano)

    def tidy(self) -> tuple[int, int]:
        """Forget what the purge no longer needs; returns (request tokens, empty partitions) that went."""
        tokens, partitions = self._pool.run("operations_tidy_usage")[0]
        return int(tokens), int(partitions)
